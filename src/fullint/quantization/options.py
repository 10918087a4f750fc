"""Every choice a user of `quantize` has, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from fullint.calibration.samples import ImageOptions
from fullint.errors import UsageError
from fullint.model.input_shapes import check_batch, parse_shapes
from fullint.ops.targets import TARGETS

IO_TYPES = ("auto", "int8", "uint8", "int16", "float32")
ACTIVATION_TYPES = ("int8", "int16")


@dataclass(frozen=True)
class Options:
    """Every choice a user has; `quantize` documents them."""

    num_samples: int | None = None
    per_tensor: bool = False
    dense_per_tensor: bool = False
    activations: str = "int8"
    io: str = "auto"
    batch: int = 1
    threads: int | None = None
    min_sqnr: float = 5.0
    synthetic: bool = False
    target: str = "litert"
    keep_float: str | int | Sequence[str | int] | None = None
    shape: str | Sequence[str] = ()
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 255.0
    layout: str = "NHWC"
    framework: str = "auto"

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        check_batch(self.batch)
        for name in ("num_samples", "threads"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise UsageError(f"{name} must be a whole number, not {value!r}")
        if not isinstance(self.min_sqnr, int | float) or not math.isfinite(self.min_sqnr):
            raise UsageError(f"min_sqnr must be a finite number of dB, not {self.min_sqnr!r}")
        given = self.io.split(",") if isinstance(self.io, str) else []
        if len(given) not in (1, 2) or not {*given} <= {*IO_TYPES}:
            raise UsageError(f'io must be one of {", ".join(IO_TYPES)}, or two of them (inputs,outputs), not "{self.io}"')
        if self.activations not in ACTIVATION_TYPES:
            raise UsageError(f'activations must be int8 or int16, not "{self.activations}"')
        if self.target not in TARGETS:
            raise UsageError(f'target must be one of {", ".join(TARGETS)}, not "{self.target}"')
        k = self.keep_float
        if isinstance(k, bool) or (not isinstance(k, str | int | None) and not _all_text(k, int)):
            raise UsageError(f"keep_float must be an index, a type, a name, or a sequence of them, not {k!r}")
        _ = self.shapes
        if self.threads is not None and self.threads < 1:
            raise UsageError("threads must be at least 1")
        if self.layout not in ("NHWC", "NCHW"):
            raise UsageError(f'layout must be NHWC or NCHW, not "{self.layout}"')
        if 0 in self.images.std:
            raise UsageError("std must not be zero")

    @property
    def io_types(self) -> tuple[str, str]:
        """Type of the inputs, and of the outputs, that were float."""
        types = [self.activations if t == "auto" else t for t in self.io.split(",")]
        return types[0], types[-1]

    @property
    def shapes(self) -> dict[str | None, tuple[int, ...]]:
        """Shapes of inputs by name; None stands for the only input."""
        return parse_shapes(self.shape)

    @property
    def kept(self) -> str | None:
        """The operators to keep in float, as one string."""
        k = self.keep_float
        return k if isinstance(k, str | None) else ",".join(map(str, [k] if isinstance(k, int) else k))

    @property
    def images(self) -> ImageOptions:
        """How a folder of images becomes samples."""
        return ImageOptions(_numbers(self.mean), _numbers(self.std), self.layout)

    @property
    def workers(self) -> int:
        """Samples run at the same time."""
        if self.threads is not None:
            return self.threads
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _all_text(value: object, also: type = str) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str | also) for v in value)


def _numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    try:
        return (float(value),) if isinstance(value, int | float) else tuple(float(v) for v in value)
    except (TypeError, ValueError) as e:
        raise UsageError(f"mean and std are numbers or sequences of numbers, not {value!r}") from e
