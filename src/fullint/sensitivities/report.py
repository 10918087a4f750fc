"""What `sensitivity` found, as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fullint.documents import Document
from fullint.reporting import Report
from fullint.sensitivities.report_document import sensitivity_document


@dataclass(frozen=True)
class UnitCost:
    """An operator, layer or block, and what it costs; None where that was not measured, or there is no such model.

    Attributes:
        name: name of an operator's output, or what the names of the outputs have in common.
        operators: indices in the given file, with those of what was folded into them.
        kinds: types of the operators that are run.
        alone_db: SQNR of the outputs, by their mean noise, where nothing else is integer.
        share: of the noise that all measured units cause alone; the mean of its shares in each output.
        float_gain_db: how much higher the SQNR of the result is where only this stays float.
        int16_gain_db: the same where this computes in int16.
        int16_latency: what that costs, as a multiple of the all-int8 model's latency by a table of kernel times.
    """

    name: str
    operators: tuple[int, ...]
    kinds: tuple[str, ...]
    alone_db: float | None = None
    share: float | None = None
    float_gain_db: float | None = None
    int16_gain_db: float | None = None
    int16_latency: float | None = None


@dataclass(frozen=True)
class Remedy:
    """An option for `quantize`, and what it gives: a model was made with it, weights rounded anew.

    Attributes:
        option: as it is written.
        sqnr_db: of the outputs, on the samples that judge.
        gain_db: how much higher that is than without.
        latency: as a multiple of the all-int8 model's, by a table of kernel times; None where operators are float.
    """

    option: str
    sqnr_db: float
    gain_db: float
    latency: float | None = None


@dataclass(frozen=True, repr=False)
class SensitivityReport(Report):
    """What each part of a network costs in accuracy.

    Attributes:
        schema_version: version of the report's fields.
        fullint: version of fullint.
        options: of the run.
        samples: that judged.
        sqnr_db: of the all-integer result on them.
        units: the worst first: those that have most noise alone. What they give in float or int16 scatters by a dB where a few
            ambiguous samples decide.
        remedies: options that were tried with the worst of them.
        measured: how many units were measured before the time was over.
        seconds: time that it took.
        notes: what else the reader should know, in sentences.
    """

    schema_version: int
    fullint: str
    options: dict[str, Any]
    samples: int
    sqnr_db: float
    units: tuple[UnitCost, ...]
    remedies: tuple[Remedy, ...] = ()
    measured: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    def rows(self) -> Iterable[UnitCost]:
        """The units."""
        return self.units

    def document(self) -> Document:
        """What the report says."""
        return sensitivity_document(self)
