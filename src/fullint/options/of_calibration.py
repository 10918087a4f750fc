"""Choices of `calibrate`: those of `quantize` that say what is measured, and on which samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from fullint.errors import UsageError
from fullint.options.choices import QuantizeOptions
from fullint.options.of_samples import ModelOptions
from fullint.options.recipes import RecipeSource

_KNOWN = {f.name: f for f in fields(QuantizeOptions)}


def _default(name: str) -> Any:
    return _KNOWN[name].default


def _metadata(name: str) -> Mapping[Any, Any]:
    return _KNOWN[name].metadata


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CalibrateOptions(ModelOptions):
    """Choices of `fullint.calibrate`."""

    samples: Any = field(default=_default("samples"), kw_only=False, metadata=_metadata("samples"))
    num_samples: int | None = field(default=_default("num_samples"), metadata=_metadata("num_samples"))
    seed: int = field(default=_default("seed"), metadata=_metadata("seed"))
    mean: float | Sequence[float] = field(default=_default("mean"), metadata=_metadata("mean"))
    std: float | Sequence[float] = field(default=_default("std"), metadata=_metadata("std"))
    layout: str = field(default=_default("layout"), metadata=_metadata("layout"))
    activations: str = field(default=_default("activations"), metadata=_metadata("activations"))
    ranges: str | Sequence[str] = field(default=_default("ranges"), metadata=_metadata("ranges"))
    keep_float: str | int | Sequence[str | int] | None = field(default=_default("keep_float"), metadata=_metadata("keep_float"))
    int16: str | int | Sequence[str | int] | None = field(default=_default("int16"), metadata=_metadata("int16"))
    io: str = field(default=_default("io"), metadata=_metadata("io"))
    split_outputs: bool = field(default=_default("split_outputs"), metadata=_metadata("split_outputs"))
    target: str = field(default=_default("target"), metadata=_metadata("target"))
    threads: int | None = field(default=_default("threads"), metadata=_metadata("threads"))
    scheduler: str | None = field(default=_default("scheduler"), metadata=_metadata("scheduler"))
    shared: bool = field(default=_default("shared"), metadata=_metadata("shared"))
    effort: str = field(default=_default("effort"), metadata=_metadata("effort"))
    recipe: RecipeSource | None = field(default=_default("recipe"), metadata=_metadata("recipe"))

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        if self.samples is None:
            raise UsageError("calibrate measures what samples show: give them with -c DATA")
        self.of_quantize().check()

    def of_quantize(self) -> QuantizeOptions:
        """The same choices for the stages that measure."""
        return QuantizeOptions(**{f.name: getattr(self, f.name) for f in fields(self)})
