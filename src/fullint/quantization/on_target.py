"""What the target of a run says of its result, by its own software where that is installed, else by its table.

result  ->  the target's verdict  ->  an error, where one refused operator stops the whole model
a warning, where the rest runs on the CPU
->  its own kernels, where they can be had, as one more kernel set of the certificate
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fullint.calibration.collect import has_state
from fullint.delegates.target import DelegateTarget
from fullint.delegates.targets import DELEGATES
from fullint.documents import many
from fullint.errors import Blocker, NotIntegerError, RuntimeFailure, VerificationError
from fullint.model.ir import Array, Op
from fullint.quantization.stage_values import Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_outputs import integer_inputs, largest_steps
from fullint.verification.report import KernelSet

SAMPLES = 4
"""That a target's own kernels run: they are slow on a PC."""
NAMED_ONES = 3
TOO_FAR = 100
"""Of a target's kernels from LiteRT's: farther, and they compute something else."""
WAY_OUT = "replace it in the network, or cut the model before it"


def require_target(bench: Workbench, written: Written) -> Written:
    """The result, with what the target leaves to the CPU as a warning.

    Raises:
        NotIntegerError: the target refuses an operator, and with it the whole model.
    """
    target = _target(written)
    if target is None:
        return written
    if not target.tabled and not (target.software is not None and target.software.installed()):
        assert target.software is not None
        said = f'what {target.name} takes was not asked: pip install "fullint[{target.software.extra}]"'
        return replace(written, warnings=(*written.warnings, said))
    with bench.stage("target"):
        answer = target.answer(written.emitted.model, "")
    refused = {op: why for op, why in answer.reasons.items() if why is not None}
    if refused and target.whole:
        raise NotIntegerError([_blocker(op, why, answer.speaker) for op, why in refused.items()], target.name)
    if not refused:
        return written
    named = "; ".join(
        f'op {op.origin} {op.kind} "{op.output_name}": {why}' for op, why in itertools.islice(refused.items(), NAMED_ONES)
    )
    more = f"; and {len(refused) - NAMED_ONES} more" if len(refused) > NAMED_ONES else ""
    share = f"{many(len(refused), 'operator')} of {len(answer.reasons)}"
    rest = f"{target.name} leaves {share} to the CPU ({answer.speaker}): {named}{more}"
    return replace(written, warnings=(*written.warnings, rest))


def on_its_kernels(bench: Workbench, written: Written, samples: Sequence[Sequence[Array]]) -> tuple[KernelSet, ...]:
    """The result on the target's own kernels, beside LiteRT's reference kernels.

    Args:
        bench: tools of the run.
        written: the result.
        samples: some that judged it, as the given model takes them.

    Raises:
        VerificationError: they do not run it, or compute something else.
    """
    target = _target(written)
    if target is None or target.run is None or target.software is None or not target.software.installed():
        return ()
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
    return (KernelSet(target.name, "ran", len(few), None, steps, (*found.notes, *far)),)


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


def _target(written: Written) -> DelegateTarget | None:
    """The target, where it is another than LiteRT, which the certificate speaks of."""
    return DELEGATES.get(written.assigned.calibrated.prepared.loaded.options.target)


def _blocker(op: Op, why: str, source: str) -> Blocker:
    return Blocker(0, op.origin, op.custom_code or op.kind, op.output_name, f"{source}: {why}", WAY_OUT)
