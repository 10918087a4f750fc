"""What is to be said of each kernel set: that it ran, lacks an operator, or computes one wrong.

    wrong = SQNR < 10 dB  and  6 dB below XNNPACK's  and  more than a tenth of its values more than `FAR_STEPS` from XNNPACK's

A large network's operators run by themselves there (`kernel_forms`), on what XNNPACK computed; the bounds are the same, XNNPACK's
outputs being exact then. Where a kernel set is known to lack an operator or to compute one wrong, by the op table, that is said;
what nothing explains is an error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fullint.errors import RuntimeFailure, VerificationError
from fullint.model.ir import Array, Model
from fullint.ops import KERNEL_SETS
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess
from fullint.verification.kernel_forms import FormTrial
from fullint.verification.kernel_outputs import FAR_STEPS
from fullint.verification.kernels_apart import known_faults, parting
from fullint.verification.metrics import Score, mean_sqnr
from fullint.verification.report import KernelSet

SLOW = ("reference", "builtin")
SKIPPED = "not run, as asked (--certify fast): its kernels are proved for each operator, and not on this model"
DISAGREEMENT_DB = 6.0
WRONG_DB, UNEVEN_DB = 10.0, 20.0
"""A kernel set is wrong if its SQNR is below `WRONG_DB`, `DISAGREEMENT_DB` below XNNPACK's, and more than `FAR_SHARE` of its
values differ from XNNPACK's by more than `FAR_STEPS`. Below `UNEVEN_DB` the difference is only reported: operators that
divide or compare amplify a difference of one step."""
FAR_SHARE = 0.1


@dataclass
class Trial:
    """The result's figures on one kernel set, accumulated over samples."""

    name: str
    samples: int = 0
    scores: list[Score] = field(default_factory=list)
    steps: int = 0
    values: int = 0
    far: int = 0
    """Number of values that differ from XNNPACK's by more than `FAR_STEPS` steps, out of `values` compared."""
    forms: Sequence[FormTrial] = ()
    """Operators that ran by themselves, where the network did not run as a whole."""

    @property
    def sqnr(self) -> float | None:
        """Mean SQNR of the float outputs, in dB."""
        return mean_sqnr(self.scores)


@dataclass(frozen=True, eq=False)
class KernelTrials:
    """What was run of a result, on all kernel sets.

    Attributes:
        result: the model.
        original: path of the model that it was made from.
        sample, inputs: the first sample, for the original and for the result.
        slow: the slow kernel sets that were run.
        trials: on each kernel set.
        alike: XNNPACK's figures on the samples that a slow kernel set ran.
        failures: of kernel sets.
    """

    result: Model
    original: str
    sample: Sequence[Array]
    inputs: Sequence[Array]
    slow: Sequence[str]
    trials: Mapping[str, Trial]
    alike: Mapping[str, Trial]
    failures: Mapping[str, RuntimeFailure]


def kernel_sets(tried: KernelTrials) -> tuple[KernelSet, ...]:
    """The verdict for each kernel set.

    Raises:
        VerificationError: a failure or disagreement that nothing explains.
    """
    return tuple(_verdict(tried, name) for name in KERNEL_SETS)


def _verdict(tried: KernelTrials, name: str) -> KernelSet:
    trial, failure = tried.trials[name], tried.failures.get(name)
    absent, wrong = known_faults(tried.result, name)
    facts = tuple(absent + wrong)
    if name in SLOW and name not in tried.slow:
        return KernelSet(name, "absent" if absent else "skipped", facts=(*facts, SKIPPED))
    if failure is not None:
        if not facts:
            if not _given_fails(tried, name):
                raise VerificationError([f"{name} kernels: {failure}"])
            absent = [f"the given model does not run there either: {failure}"]
            facts = tuple(absent)
        return KernelSet(name, "absent" if absent else "faulty", facts=facts)
    if trial.forms:
        return _of_forms(trial, facts, known=bool(wrong))
    base = mean_sqnr(tried.trials["xnnpack"].scores)
    own = trial.sqnr if trial.sqnr is not None else math.inf
    apart = own < UNEVEN_DB and trial.steps > FAR_STEPS and _apart(tried, name)
    text = f"the {name} kernels reach {own:.1f} dB, XNNPACK {base:.1f} dB{_parting(tried, name)}" if apart else ""
    if apart and not wrong and own < WRONG_DB and trial.far > FAR_SHARE * trial.values:
        raise VerificationError([text])
    facts = (*facts, text) if apart and not wrong else facts
    status = "faulty" if apart and wrong else "ran"
    return KernelSet(name, status, trial.samples, trial.sqnr, trial.steps, facts)


def _of_forms(trial: Trial, facts: Sequence[str], *, known: bool) -> KernelSet:
    """The verdict where operators ran by themselves.

    Args:
        trial: of the kernel set.
        facts: what is known of its kernels.
        known: whether one of them is known to be wrong.
    """
    wrong = [str(f) for f in trial.forms if f.sqnr_db < WRONG_DB and f.far > FAR_SHARE]
    apart = [str(f) for f in trial.forms if f.sqnr_db < UNEVEN_DB and f.steps > FAR_STEPS]
    if wrong and not known:
        raise VerificationError([f"the {trial.name} kernels, given the same inputs as XNNPACK's: {text}" for text in wrong])
    steps = max(f.steps for f in trial.forms)
    told = (*facts, *(() if known else apart))
    return KernelSet(trial.name, "faulty" if wrong else "ran", 1, None, steps, told, len(trial.forms))


def _parting(tried: KernelTrials, name: str) -> str:
    """Where a kernel set parts from XNNPACK, on the first sample; "" where no operator alone is why."""
    try:
        with WorkerProcess("the result") as worker:
            found = parting(worker, tried.result, ("xnnpack", name), list(tried.inputs))
    except RuntimeFailure:
        return ""
    return f"; {found}" if found is not None else ""


def _given_fails(tried: KernelTrials, name: str) -> bool:
    """Whether a kernel set does not run the given model either."""
    with WorkerProcess("the given model") as worker:
        try:
            worker.call(Open(tried.original, name, 1, [a.shape for a in tried.sample]))
            worker.call(Run(list(tried.sample)))
        except RuntimeFailure:
            return True
    return False


def _apart(tried: KernelTrials, name: str) -> bool:
    """Whether a slow kernel set is `DISAGREEMENT_DB` below XNNPACK on the same samples."""
    base, own = tried.alike[name].sqnr, tried.trials[name].sqnr
    return base is not None and own is not None and own < base - DISAGREEMENT_DB
