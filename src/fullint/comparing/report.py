"""What a comparison found, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fullint.comparing.report_document import comparison_document
from fullint.documents import Document
from fullint.reporting import Report
from fullint.verification.report import Accuracy, OutputQuality


@dataclass(frozen=True)
class ComparedOutput:
    """An output of the integer model beside the one of the float model.

    Attributes:
        name: of the integer model's.
        exact: of the float model's.
        quality: SQNR, largest error, classes and parts, as in a certificate.
        cosine: of the angle between both, -1 to 1; None for integer outputs.
        top5_agreement: share of rows whose largest entry in the float model is among the five largest of the integer one.
    """

    name: str
    exact: str
    quality: OutputQuality
    cosine: float | None = None
    top5_agreement: float | None = None


@dataclass(frozen=True)
class OwnError:
    """The error of an operator's result where it gets exact inputs, over all elements and samples, in real units.

    Attributes:
        mean, stddev, largest: of the error.
        mean_square: of the error.
    """

    mean: float
    stddev: float
    largest: float
    mean_square: float


@dataclass(frozen=True)
class ComparedOperator:
    """Operators of the integer model that are compared as one, by the last of them.

    Attributes:
        index, kind, output: of the last operator of the integer model.
        operators: how many operators of the integer model it stands for.
        exact: kinds of the operators of the float model that it stands for.
        exact_output: name of the activation of the float model that it is compared with.
        matched_by: what told that they are the same: name, operands, values or conversion.
        sqnr_db: of its result in the whole run.
        added_db: of its result where it gets exact inputs: its own error. None where it could not be run alone.
        inherited_db: the lowest `sqnr_db` of what it reads; None where it reads inputs only.
        excess_db: how far its own error is above what rounding explains; None where that is not known.
        outputs_db: SQNR of the float model's worst output with its own error and no other; measured for the worst suspects,
            None elsewhere.
        cosine: in the whole run.
        largest_error: in the whole run, in real units.
        bias_shift: mean error in the whole run, as a share of the root mean square of the values.
        saturated: share of its codes at the ends of their type; None where it is not quantized.
        range_used: share of the type's codes that its values reach over.
        dead_codes: codes within that reach that never occur; None for types of more than 8 bits.
        suspect: whether its own error is more than rounding.
        cause: what its error looks like, where it is suspect or among the worst; else "".
        fix: what to do about it, or "".
        elements: values of its result, per sample.
        own_error: its own error; None where it could not be run alone.
        tensor: index of its result among the tensors of the integer model's graph.
        scale, zero_point: of its result; None where it has none, or one per channel.
    """

    index: int
    kind: str
    output: str
    operators: int
    exact: tuple[str, ...]
    exact_output: str
    matched_by: str
    sqnr_db: float
    added_db: float | None
    inherited_db: float | None
    excess_db: float | None
    outputs_db: float | None
    cosine: float
    largest_error: float
    bias_shift: float
    saturated: float | None
    range_used: float | None
    dead_codes: int | None
    suspect: bool
    cause: str
    fix: str
    elements: int = 0
    own_error: OwnError | None = None
    tensor: int = -1
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class Unmatched:
    """An operator of the integer model that nothing of the float model was found for, and why."""

    index: int
    kind: str
    output: str
    why: str


@dataclass(frozen=True, repr=False)
class CompareReport(Report):
    """A float model and an integer model compared.

    Attributes:
        schema_version: version of the report's fields.
        fullint: version of fullint.
        exact, integer: the files that were compared, or "model" where it was bytes.
        samples: how many samples the outputs were compared on.
        operator_samples: how many of them the operators were compared on.
        drawn: whether no samples were given, so that random inputs were used.
        sqnr_db: mean SQNR of the outputs; None where no output is float.
        outputs: each output.
        accuracy: share of right classes of both, where labels were given.
        operators: the operators, the most suspicious first, then those that add most error.
        unmatched: operators without a counterpart, and why.
        equalized: how many activations have channels of other sizes than in the float model, which was taken account of.
        notes: what else the reader should know, in sentences.
    """

    schema_version: int
    fullint: str
    exact: str
    integer: str
    samples: int
    operator_samples: int
    drawn: bool
    sqnr_db: float | None
    outputs: tuple[ComparedOutput, ...]
    accuracy: Accuracy | None
    operators: tuple[ComparedOperator, ...]
    unmatched: tuple[Unmatched, ...]
    equalized: int = 0
    notes: tuple[str, ...] = ()

    @property
    def suspects(self) -> tuple[ComparedOperator, ...]:
        """The operators whose own error is more than rounding."""
        return tuple(o for o in self.operators if o.suspect)

    def document(self) -> Document:
        """What the command prints."""
        return comparison_document(self)

    def rows(self) -> Iterable[Any]:
        """The operators."""
        return self.operators
