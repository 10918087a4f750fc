"""Random graphs hold the contract: an all-integer result as near to float as 8 bits allow, or a named refusal.

What 8 bits allow is found by running the float model with every tensor rounded to an 8-bit grid of its own
(`simulated`): inputs and results of operators on the range that the samples give them, moved values on the
grid they come in, results of fixed steps on those, constants on theirs. fullint shares grids between tensors
where that costs little, makes ranges wider where few values were seen, and computes a few operators in
several steps; all of that together may cost `SLACK` dB over the simulation, no more. What follows from a
jump (a comparison, FLOOR, SIGN, the index of a largest value) may differ in whole steps of the jump, and
state depends on what ran before; there only the contract is checked.

    FULLINT_RANDOM_GRAPHS=1000 FULLINT_RANDOM_SEED=5000    other graphs, more of them
"""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from conftest import assert_audit_is_content, some_slow
from random_graphs import made

from fullint import quantize
from fullint.calibration.observed import clips
from fullint.errors import AccuracyError, NotIntegerError, VerificationError
from fullint.model.ir import Graph, Model, Op, Quant, Tensor, constant, twin
from fullint.model.numerics import activation_params, dequantize
from fullint.model.numerics import quantize as to_codes
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes
from fullint.model.weights import PerAxis, WeightSpec
from fullint.ops import ROWS, Fixed, Observed, Role, Same
from fullint.ops.make import make_op
from fullint.quantization.report import Result
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.contract import contract_problems
from fullint.verification.metrics import Score
from fullint.verification.report import Certificate

COUNT, FIRST = (int(os.environ.get(f"FULLINT_RANDOM_{n}", d)) for n, d in (("GRAPHS", 200), ("SEED", 0)))
SLACK = 12.0
LOOSE_SLACK, SEVERAL = 25.0, frozenset(("L2_POOL_2D", "LOCAL_RESPONSE_NORMALIZATION"))
"""dB. Inside of loops, branches and what is written with several operators, nothing is rounded by the simulation."""
SOUND = 20.0
"""dB. Where the simulation itself has less, noise has the upper hand, and its figure says little."""
BEST = 45.0
JUMPS = frozenset(
    "FLOOR CEIL ROUND SIGN FLOOR_DIV FLOOR_MOD LESS LESS_EQUAL GREATER GREATER_EQUAL EQUAL NOT_EQUAL ARG_MAX ARG_MIN".split()
)
STATE = frozenset("UNIDIRECTIONAL_SEQUENCE_LSTM SVDF READ_VARIABLE".split())
STEPS_APART, APART = 8, 6.0
"""Kernel sets round differently, and a step here may be many steps of a finer grid later on; that costs no dB."""


@pytest.fixture(scope="module")
def box() -> Iterator[WorkerProcess]:
    with WorkerProcess() as made_box:
        yield made_box


@pytest.mark.parametrize("seed", some_slow(range(FIRST, FIRST + COUNT), 40))
def test_random_graph(seed: int, box: WorkerProcess) -> None:
    g, samples = made(seed)
    check(g.model(), g.bytes(), samples, box)


def accepting_losses(data: bytes, samples: list[dict[str, np.ndarray]]) -> Result:
    """Columns that hardly move are common here, and no concern of this test."""
    try:
        return quantize(data, samples, min_sqnr=-1000, threads=1)
    except AccuracyError as e:
        if not e.lost:
            raise
        return quantize(data, samples, min_sqnr=-1000, threads=1, allow_lost=e.lost)


def check(model: Model, data: bytes, samples: list[dict[str, np.ndarray]], box: WorkerProcess) -> str:
    """The contract, for one graph; says what came of it."""
    try:
        result = accepting_losses(data, samples)
    except NotIntegerError as e:
        assert e.blockers  # noqa: PT017 - which ones is not known here
        assert all(b.cause and b.way_out and b.output for b in e.blockers)  # noqa: PT017
        return "refused"
    except (AccuracyError, VerificationError) as e:
        if excused(model, samples, box, e):
            return "excused"
        raise
    if result.report.status == "already-integer":
        return "integer"
    assert list(contract_problems(read_bytes(result.model))) == []
    assert_audit_is_content(result.model, losses=True)
    certificate = result.report.certificate
    assert certificate is not None
    wild = unsteady(model)
    steady = not any(t in wild for t in model.main.outputs)
    assert all(k.status == "ran" or k.facts for k in certificate.kernel_sets)
    if steady:
        agree(certificate)
    near_enough(model, samples, box, certificate, wild)
    return "quantized"


def excused(model: Model, samples: list[dict[str, np.ndarray]], box: WorkerProcess, e: Exception) -> bool:
    """Whether an output is always zero (no error is small beside it), or kernel sets differ behind a jump."""
    wild = unsteady(model)
    if isinstance(e, VerificationError):
        return "kernels reach" in str(e) and any(t in wild for t in model.main.outputs)
    runs = outputs(model, samples, box)
    return any(t.is_float and not any(np.abs(r[i]).max(initial=0) > 1e-4 for r in runs) for i, t in enumerate(model.main.outputs))


def agree(certificate: Certificate) -> None:
    """The kernel sets differ by a few steps, or at least not in how near they are to float."""
    default = next(k.sqnr_db for k in certificate.kernel_sets if k.name == "xnnpack")
    for k in certificate.kernel_sets:
        far = k.status == "ran" and not k.facts and (k.disagreement_steps or 0) > STEPS_APART
        if far and default is not None and k.sqnr_db < min(default, BEST) - APART:
            raise AssertionError(f"{k.name} kernels: {k.disagreement_steps} steps apart, {k.sqnr_db:.1f} for {default:.1f} dB")


def unsteady(model: Model) -> set[Tensor]:
    """Tensors of the main graph that follow from a jump or from state."""
    found: set[Tensor] = set()
    for op in model.main.ops:
        jumps = op.kind in JUMPS | STATE or (op.kind == "CAST" and op.inputs[0].is_float) or op.kind == "TOPK_V2"
        if jumps or any(t in found for t in op.inputs):
            found.update(op.outputs[1:] if op.kind == "TOPK_V2" and op.inputs[0] not in found else op.outputs)
    return found


def near_enough(
    model: Model, samples: list[dict[str, np.ndarray]], box: WorkerProcess, certificate: Certificate, wild: set[Tensor]
) -> None:
    """Each steady output has nearly the SQNR of the simulation."""
    if all(t in wild or not t.is_float for t in model.main.outputs):
        return
    expected = outputs(model, samples, box)
    got = outputs(simulated(model, samples, box), samples, box)
    loose = any(op.subgraphs() or op.kind in SEVERAL for op in model.main.ops)
    for i, t in enumerate(model.main.outputs):
        if t in wild or not t.is_float:
            continue
        score = Score()
        for reference, rounded in zip(expected, got, strict=True):
            score.add(reference[i], rounded[i])
        if score.signal < 1e-6 or score.sqnr < SOUND:
            continue
        floor = min(score.sqnr, BEST) - (LOOSE_SLACK if loose else SLACK)
        reached = certificate.outputs[i].sqnr_db
        assert reached >= floor, f'output {i} "{t.name}" has {reached:.1f} dB, 8 bits allow {score.sqnr:.1f}'


def outputs(model: Model, samples: list[dict[str, np.ndarray]], box: WorkerProcess) -> list[list[np.ndarray]]:
    with model_file(model) as path:
        box.call(Open(path, "builtin", 1))
        return [box.call(Run([s[t.name] for t in model.main.inputs])) for s in samples]


def simulated(model: Model, samples: list[dict[str, np.ndarray]], box: WorkerProcess) -> Model:
    """The float model with each tensor of its main graph rounded to 8 bits."""
    ranges = measured(model, samples, box)
    grids: dict[Tensor, Quant] = {}
    rounded: dict[Tensor, Tensor] = {}
    ops: list[Op] = []

    def rounding(t: Tensor, quant: Quant) -> None:
        codes, rounded[t] = twin(t, f"{t.name}/codes"), twin(t, f"{t.name}/rounded")
        codes.dtype, codes.quant, grids[t] = "int8", quant, quant
        ops.extend([make_op("QUANTIZE", [t], [codes]), make_op("DEQUANTIZE", [codes], [rounded[t]])])
        ops[-1].version = 2

    for t in model.main.inputs:
        if t.is_float:
            rounding(t, activation_params(ranges[t]))
    for op in model.main.ops:
        inputs = [_constant(op, i, t) if t is not None and t.is_constant else rounded.get(t, t) for i, t in enumerate(op.inputs)]
        ops.append(make_op(op.kind, inputs, op.outputs))
        ops[-1].options, ops[-1].version = op.options, op.version
        for i, t in enumerate(op.outputs):
            if t.dtype == "float32":
                rounding(t, _grid(op, i, ranges))
    result = Model(list(model.graphs))
    main = result.graphs[0] = Graph("simulated", [], model.main.inputs, [rounded.get(t, t) for t in model.main.outputs], ops)
    main.sync_tensors()
    return result


def _grid(op: Op, i: int, ranges: dict[Tensor, Range]) -> Quant:
    """The grid of a result: its kernel's, its operands' where they are moved only, else its own."""
    row, t = ROWS.get(op.kind), op.outputs[i]
    rule = row.output(i) if row else Observed()
    if isinstance(rule, Fixed):
        return rule.quant
    if isinstance(rule, Same) and row is not None and not clips(op):
        spans = [ranges[x] for j, x in enumerate(op.inputs) if x in ranges and row.role(j) is Role.SAME]
        ranges[t] = Range.union_of(spans)
    return activation_params(ranges[t])


def measured(model: Model, samples: list[dict[str, np.ndarray]], box: WorkerProcess) -> dict[Tensor, Range]:
    """Smallest and largest value of every float tensor of the main graph."""
    made_by = [t for op in model.main.ops for t in op.outputs if t.dtype == "float32"]
    wanted = [t for t in model.main.inputs if t.is_float] + made_by
    probe = Model([Graph("probe", [], model.main.inputs, wanted, model.main.ops), *model.graphs[1:]])
    probe.main.sync_tensors()
    runs = outputs(probe, samples, box)
    found = {t: Range.union_of(Range.of(r[i]) for r in runs) for i, t in enumerate(wanted)}
    constants = {t for op in model.main.ops for t in op.inputs if t is not None and t.is_constant and t.is_float and t.size}
    return found | {t: Range.of(t.array) for t in constants}


def _constant(op: Op, i: int, t: Tensor) -> Tensor:
    """A float constant as 8 bits hold it; biases, and what is no number, as they are."""
    row = ROWS.get(op.kind)
    role = row.role(i) if row else Role.OWN
    if not t.is_float or not t.size or role not in (Role.OWN, Role.WEIGHT):
        return t
    if role is Role.WEIGHT:
        quant = Quant.of(WeightSpec(granularity=PerAxis(row.axis)).scales(t.array), 0, row.axis)
    else:
        quant = activation_params(Range.of(t.array))
    return constant(t.name, dequantize(to_codes(t.array, quant), quant))
