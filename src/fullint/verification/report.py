"""What a certificate says, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelSet:
    """How the result did on one kernel set.

    Attributes:
        name: "xnnpack", "builtin" or "reference".
        status: "ran", "absent" (it lacks an operator) or "faulty" (a known fault of its kernels).
        samples: how many samples it ran.
        sqnr_db: mean over the outputs, against the float model, on those samples.
        disagreement_steps: largest difference of its outputs from XNNPACK's, in output steps.
        facts: what is known of its kernels for the operators of this model.
    """

    name: str
    status: str
    samples: int = 0
    sqnr_db: float | None = None
    disagreement_steps: int | None = None
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputQuality:
    """One output against the float model.

    Attributes:
        name: tensor name.
        sqnr_db: 10 log10(sum ref^2 / sum err^2) over all samples; None for integer outputs.
        limit_db: where the kernel fixes this output's steps, the SQNR of the float output rounded to them:
            what int8 can do at best.
        largest_error: largest absolute difference, in the output's own unit.
        top1_agreement: share of rows whose largest entry is the same, where the output looks like classes.
        step: the output's own step, where it is quantized.
        equal: share of equal elements, for integer and boolean outputs.
    """

    name: str
    sqnr_db: float | None = None
    limit_db: float | None = None
    largest_error: float | None = None
    top1_agreement: float | None = None
    equal: float | None = None
    step: float | None = None


@dataclass(frozen=True)
class Certificate:
    """What was checked on the very bytes that were handed out, and what came of it.

    Attributes:
        integer: whether every operator is integer; with `except_for`, every other one.
        except_for: operators that stay float because the user asked for it.
        drawn: whether the samples were drawn from what the inputs can hold, and nobody gave them.
        reference: what the outputs were compared with.
    """

    integer: bool
    except_for: tuple[str, ...]
    checks: tuple[str, ...]
    samples: int
    held_back: bool
    drawn: bool
    uncalibrated: bool
    reference: str
    sqnr_db: float | None
    outputs: tuple[OutputQuality, ...]
    kernel_sets: tuple[KernelSet, ...]
