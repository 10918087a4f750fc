"""The certificate as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class KernelSet:
    """The result on one of LiteRT's kernel sets.

    Attributes:
        name: "xnnpack", "builtin", "reference", or a target that runs on a PC ("tflm").
        status: "ran", "absent" (it lacks an operator), "faulty" (one of its kernels has a known fault) or "skipped" (it was not
            asked for).
        samples: number of samples it ran.
        sqnr_db: mean SQNR of the outputs against the reference, in dB, on those samples.
        disagreement_steps: largest difference from XNNPACK's outputs, in output steps; of a target, from the reference
            kernels' outputs.
        facts: what is known about its kernels for the operators of this model.
        operators: how many operators it ran by themselves, one of each form, on what XNNPACK computed before them, since the
            whole network is large; None where it ran as a whole. `disagreement_steps` is of their outputs then.
    """

    name: str
    status: str
    samples: int = 0
    sqnr_db: float | None = None
    disagreement_steps: int | None = None
    facts: tuple[str, ...] = ()
    operators: int | None = None


@dataclass(frozen=True)
class PartQuality:
    """A part of an output compared with the reference.

    Attributes:
        name: of the operand that a CONCATENATION or PACK joins, or of a slice, such as "y[..., 3]".
        status: "kept"; "weak" (below 5 dB, or below 0 dB for a cause other than its scale); "lost" (at most 0 dB) or "constant".
        sqnr_db: 10 log10(sum ref^2 / sum err^2).
        spread_db: 10 log10(sum (ref - mean)^2 / sum err^2), which decides the status.
        low, high: smallest and largest value of the reference.
        step: the scale that its values are put on.
        values: number of values compared.
        operator: index in the given file of the operator that puts it on this scale, -1 if it is not one in that file.
        cause: where it is not kept, why, as a sentence.
    """

    name: str
    status: str
    sqnr_db: float
    spread_db: float
    low: float
    high: float
    step: float
    values: int
    operator: int = -1
    cause: str = ""

    @property
    def by_scale(self) -> bool:
        """Whether the scale that it is put on explains the loss."""
        return self.operator >= 0 and self.status != "kept"

    @property
    def gone(self) -> bool:
        """Whether nothing of it is left."""
        return self.status in ("lost", "constant")


@dataclass(frozen=True)
class OutputQuality:
    """One output compared with the reference.

    Attributes:
        name: tensor name.
        sqnr_db: 10 log10(sum ref^2 / sum err^2) over all samples; None for integer outputs.
        interval_db: lowest and highest SQNR that all data may have, judged by how unequal these samples are: it holds in at
            least four of five cases. None where the samples are too few to tell.
        values: number of values compared.
        size: number of values of one sample.
        low, high: smallest and largest value of the reference.
        limit_db: the SQNR of the reference output rounded to the output's scale, where the kernel fixes that scale: the
            best that int8 can do.
        largest_error: largest absolute difference, in real units.
        top1_agreement: share of rows with the same largest entry, 0 to 1, where the output looks like class scores.
        step: the output's scale, where it is quantized.
        equal: share of equal elements, 0 to 1, for integer and boolean outputs.
        parts: operands of the joins that reach it, and slices along an axis that are not kept, or are the worst.
        judged: whether it counts; the output of an operator kept in float whose function is not known does not, but what it
            reads does.
        as_set: whether its values are ordered by size (TOPK_V2), so that they are compared sorted, not by place.
    """

    name: str
    sqnr_db: float | None = None
    interval_db: tuple[float, float] | None = None
    limit_db: float | None = None
    largest_error: float | None = None
    top1_agreement: float | None = None
    equal: float | None = None
    step: float | None = None
    parts: tuple[PartQuality, ...] = ()
    as_set: bool = False
    judged: bool = True
    values: int = 0
    size: int = 0
    low: float | None = None
    high: float | None = None

    @property
    def steps(self) -> float | None:
        """The largest error in steps of the output; None where it is not quantized."""
        return self.largest_error / self.step if self.step and self.largest_error is not None else None


@dataclass(frozen=True)
class Accuracy:
    """How often the right class is chosen, by the labels that were given.

    Attributes:
        output: name of the output with the class scores.
        rows: how many classes were compared.
        before, after: share that is right, 0 to 1, of the reference and of the result.
    """

    output: str
    rows: int
    before: float
    after: float


@dataclass(frozen=True)
class Certificate:
    """What was checked on the bytes that were written, and the results.

    Attributes:
        integer: whether every operator is integer, apart from those in `except_for`.
        except_for: operators that stay float because `keep_float` names them.
        checks: the rules of the contract that were checked, as sentences.
        samples: number of samples that were compared.
        held_back: whether those samples took no part in calibration.
        also_calibrated: number of those samples that took part in calibration, since those held back tell too little.
        drawn: whether no samples were given, so that random inputs within the inputs' ranges were used.
        uncalibrated: whether calibration used random numbers (`synthetic`).
        reference: the model that the outputs were compared with, in words.
        sqnr_db: mean SQNR of the outputs on XNNPACK, in dB; None if no output is float.
        interval_db: the mean of the outputs' intervals.
        held_back_sqnr_db: the same as `sqnr_db` of the samples held back alone, where others judged beside them.
        outputs: each output compared with the reference.
        kernel_sets: the result on each kernel set.
        accuracy: share of right classes before and after, where labels were given.
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
    interval_db: tuple[float, float] | None = None
    held_back_sqnr_db: float | None = None
    also_calibrated: int = 0
    accuracy: Accuracy | None = None
