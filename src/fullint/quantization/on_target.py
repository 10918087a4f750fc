"""What the target of a run says of its result, by its own software where that is installed, else by its table.

    result  ->  the target's verdict  ->  an error, where one refused operator stops the whole model
                                          a warning, where the rest runs on the CPU
            ->  its own kernels, where they can be had, as one more kernel set of the certificate

A target that answers for nothing, such as LiteRT, is asked nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fullint.calibration.collect import has_state
from fullint.delegates.targets import judges_of
from fullint.documents import many
from fullint.errors import Blocker, NotIntegerError, RuntimeFailure, VerificationError
from fullint.model.ir import Array, Op
from fullint.quantization.stage_values import Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import integer_inputs, largest_steps
from fullint.verification.report import KernelSet

if TYPE_CHECKING:
    from fullint.delegates.target import DelegateTarget

SAMPLES = 4
"""That a target's own kernels run: they are slow on a PC."""
NAMED_ONES = 3
TOO_FAR = 100
"""Of a target's kernels from LiteRT's: farther, and they compute something else."""
WAY_OUT = "replace it in the network, or cut the model before it"


def require_target(bench: Workbench, written: Written) -> Written:
    """The result, with what its targets leave to the CPU as warnings.

    Raises:
        NotIntegerError: a target refuses an operator, and with it the whole model.
    """
    said: list[str] = []
    for target, detail in _judges(written):
        said += _asked(bench, written, target, detail)
    return replace(written, warnings=(*written.warnings, *said)) if said else written


def _asked(bench: Workbench, written: Written, target: DelegateTarget, detail: str) -> Iterator[str]:
    if not target.tabled and not (target.software is not None and target.software.installed()):
        assert target.software is not None
        yield f'what {target.name} takes was not asked: pip install "fullint[{target.software.extra}]"'
        return
    try:
        with bench.stage("target"):
            answer = target.answer(written.emitted.model, detail)
    except RuntimeFailure as e:  # its software fails on the model, which the result does not depend on
        yield f"what {target.name} takes is not known: {e}"
        return
    refused = {op: why for op, why in answer.reasons.items() if why is not None}
    if refused and target.whole:
        raise NotIntegerError([_blocker(op, why, answer.speaker) for op, why in refused.items()], target.name)
    if refused:
        first = itertools.islice(refused.items(), NAMED_ONES)
        named = "; ".join(f'op {op.origin} {op.kind} "{op.output_name}": {why}' for op, why in first)
        more = f"; and {len(refused) - NAMED_ONES} more" if len(refused) > NAMED_ONES else ""
        share = f"{many(len(refused), 'operator')} of {len(answer.reasons)}"
        yield f"{target.name} leaves {share} to the CPU ({answer.speaker}): {named}{more}"


def on_its_kernels(bench: Workbench, written: Written, samples: Sequence[Sequence[Array]]) -> tuple[KernelSet, ...]:
    """The result on the target's own kernels, beside LiteRT's reference kernels.

    Args:
        bench: tools of the run.
        written: the result.
        samples: some that judged it, as the given model takes them.

    Raises:
        VerificationError: they do not run it, or compute something else.
    """
    found = [t for t, _ in _judges(written) if t.run is not None and t.software is not None and t.software.installed()]
    return tuple(_kernel_set(bench, written, samples, t) for t in found)


def _kernel_set(bench: Workbench, written: Written, samples: Sequence[Sequence[Array]], target: DelegateTarget) -> KernelSet:
    assert target.run is not None
    calibrated = written.assigned.calibrated
    model, given = written.emitted.model, calibrated.prepared.loaded.entries[0].inputs
    few = [integer_inputs(model, s, given) for s in samples[: 1 if has_state(calibrated.model) else SAMPLES]]
    with bench.stage("target"):
        found = target.run(model, [np.stack(rows) for rows in zip(*few, strict=True)])
        if found.why:
            raise VerificationError([f"{target.name} kernels: {found.why}"])
        steps = 0
        for i, expected in enumerate(_by_litert(bench, written, few)):
            steps = max(steps, largest_steps(expected, [o[i] for o in found.outputs]))
    far = (f"farther than {TOO_FAR} steps from LiteRT's reference kernels",) if steps > TOO_FAR else ()
    return KernelSet(target.name, "ran", len(few), None, steps, (*found.notes, *far))


def _by_litert(bench: Workbench, written: Written, samples: Sequence[list[Array]]) -> list[list[Array]]:
    """The result on LiteRT's reference kernels; on those for phones, where they lack an operator."""
    path = bench.file(written.data)
    with WorkerProcess("the result") as worker:
        try:
            worker.call(Open(path, "reference", 1))
            return [worker.call(Run(sample)) for sample in samples]
        except RuntimeFailure:
            pass
    bench.worker.call(Open(path, "builtin", 1))
    return [bench.worker.call(Run(sample)) for sample in samples]


def _judges(written: Written) -> list[tuple[DelegateTarget, str]]:
    """The targets, but LiteRT, which the certificate speaks of."""
    return judges_of(written.assigned.calibrated.prepared.loaded.options.target)


def _blocker(op: Op, why: str, source: str) -> Blocker:
    return Blocker(0, op.origin, op.custom_code or op.kind, op.output_name, f"{source}: {why}", WAY_OUT)
