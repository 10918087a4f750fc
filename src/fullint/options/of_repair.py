"""Choices of `repair`: those of a run, and which findings it fixes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fullint.errors import UsageError
from fullint.options.choices import WEIGHTS, QuantizeOptions, RunOptions
from fullint.options.flags import said
from fullint.options.of_samples import SAMPLES_SPELLING, one_of


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RepairOptions(RunOptions):
    """Choices of `fullint.repair`."""

    model: str | Path | bytes = field(
        kw_only=False, metadata=said("Path or bytes of a .tflite that a quantizer made.", reported=False)
    )
    samples: Any = field(
        default=None,
        kw_only=False,
        metadata=said(
            "Samples to measure what the file does not say, and to judge the result on; as in quantize.", **SAMPLES_SPELLING
        ),
    )
    keep_float: str | int | Sequence[str | int] | None = field(
        default=None, metadata=said("Operators that stay as they are.", metavar="NAME|TYPE|INDEX,...")
    )
    min_sqnr: float = field(
        default=15.0,
        metadata=said(
            "Write nothing below this SQNR against the given model, in dB; three times as many as for quantize, since the given "
            "model is quantized already, and little more than rounding should differ.",
            metavar="DB",
            parse=float,
        ),
    )
    only: str | Sequence[str] | None = field(
        default=None, metadata=said("Fix the findings of these rules only.", metavar="RULE,...", several=True)
    )
    skip: str | Sequence[str] | None = field(
        default=None, metadata=said("Leave the findings of these rules as they are.", metavar="RULE,...", several=True)
    )
    unsafe_fixes: bool = field(
        default=False,
        metadata=said("Also apply fixes that change what the model computes, to what its file says; by default they are listed."),
    )
    weights: str = field(
        default="auto",
        metadata=said("Scales of weights; auto: per tensor where the whole file has it so, else per channel.", choices=WEIGHTS),
    )

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        if not isinstance(self.unsafe_fixes, bool):
            raise UsageError(f"unsafe_fixes must be true or false, not {self.unsafe_fixes!r}")
        one_of("weights", self.weights, WEIGHTS)

    def of_quantize(self) -> QuantizeOptions:
        """The same for the stages that `repair` and `quantize` share."""
        common = {f.name: getattr(self, f.name) for f in fields(RunOptions)}
        return QuantizeOptions(**common)
