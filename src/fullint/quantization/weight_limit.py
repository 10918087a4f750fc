"""Whether 8 bits for the weights are what limits a result's accuracy, and not the activations.

    float model, weights w                              reference
    float model, weights dequantize(quantize(w))        all that rounding the weights alone costs: to the nearest codes, or to
                                                        those that refinement has found, if these cost less

Where that is as much as the whole result loses, more samples, int16 activations and other scales are no way out.
"""

from __future__ import annotations

from collections.abc import Sequence

from fullint.model.ir import Array, Model, Op, constant
from fullint.model.numerics import dequantize, quantize
from fullint.model.subgraphs import copy_model
from fullint.ops import ROWS, Role
from fullint.passes.as_trained import Rounding, as_trained
from fullint.quantization.assignment import Assignment
from fullint.quantization.refine import Refined
from fullint.quantization.side_by_side import weights_of
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import outputs_of
from fullint.verification.metrics import Score, mean_sqnr

NEAR_DB = 3.0
"""The weights are the limit where the result has at most this much less than they allow: half its noise is theirs."""


def with_rounded_weights(model: Model, assignment: Assignment, refined: Sequence[Refined] = ()) -> Model:
    """A copy of a prepared float model whose weights are those that the integer model has; biases stay as they are.

    Tables that a GATHER selects from, and other constants of several dimensions in 8 bits, are weights, too.

    Args:
        model: prepared.
        assignment: with the parameters of its weights.
        refined: operators with other codes than the nearest.
    """
    codes_of = {r.pair.exact: weights_of(r.new).array for r in refined if r.rounded is not None}
    copy, _ = copy_model(model)
    for old, new in zip(model.graphs, copy.graphs, strict=True):
        for op, twin in zip(old.ops, new.ops, strict=True):
            for i in _weights(op):
                t, read = op.inputs[i], assignment.of(op, i)
                if t is not None and read is not None and read.dtype in ("int8", "int4"):
                    codes = quantize(t.array, read.quant, read.dtype, narrow=read.narrow)
                    codes = codes_of.get(op, codes) if i == ROWS[op.kind].weight else codes
                    twin.inputs[i] = constant(t.name, dequantize(codes, read.quant))
        new.sync_tensors()
    return copy


def _weights(op: Op) -> list[int]:
    """Positions of the constants that are weights."""
    row = ROWS.get(op.kind)
    if row is None or op.keep_float:
        return []
    constants = [(i, t) for i, t in enumerate(op.inputs) if t is not None and t.dtype == "float32" and t.buffer is not None]
    return [i for i, t in constants if row.role(i) is Role.WEIGHT or (row.role(i) in (Role.OWN, Role.SAME) and len(t.shape) > 1)]


def weights_limit(
    model: Model,
    assignment: Assignment,
    samples: Sequence[Sequence[Array]],
    answers: Sequence[Sequence[Array]],
    worker: WorkerProcess,
    refined: Sequence[Refined] = (),
    rounding: Rounding | None = None,
) -> float | None:
    """Mean SQNR of a prepared float model's outputs with its weights alone rounded, in dB.

    Args:
        model: prepared.
        assignment: with the parameters of its weights.
        samples: of its main graph, as the model takes them.
        answers: of the model, to these samples.
        worker: an idle child process.
        refined: what has become of its weights.
        rounding: how the model was trained to round.

    Returns:
        dB; None where there are no samples, weights or float outputs.
    """
    if not samples or not any(_weights(op) for _, op in model.ops()):
        return None
    rounded = [(), refined] if any(r.rounded is not None for r in refined) else [()]
    forms = (with_rounded_weights(model, assignment, codes) for codes in rounded)  # one at a time in memory
    found = [_sqnr(answers, outputs_of(worker, as_trained(f, rounding), samples), len(model.main.outputs)) for f in forms]
    return max((db for db in found if db is not None), default=None)


def _sqnr(expected: Sequence[Sequence[Array]], found: Sequence[Sequence[Array]], outputs: int) -> float | None:
    scores = [Score() for _ in range(outputs)]
    for answer, other in zip(expected, found, strict=True):
        for score, a, b in zip(scores, answer, other, strict=True):
            score.add(a, b)
    return mean_sqnr(scores)


def of_weights(limit_db: float | None, result_db: float | None) -> str | None:
    """What is to be said of a result that is not accurate enough, where the weights are the limit; None where they are not.

    Args:
        limit_db: see `weights_limit`.
        result_db: the result's own mean SQNR on the same samples.
    """
    if limit_db is None or result_db is None or limit_db > result_db + NEAR_DB:
        return None
    return (
        f"int8 weights are the limit: the float model with its weights alone rounded to 8 bits has {limit_db:.1f} dB, so that "
        "neither more samples nor int16 activations help"
    )
