"""The choices that say which model it is, and on which samples: what `quantize` and `repair` begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from fullint.errors import UsageError
from fullint.limits import limited
from fullint.options.flags import flag_of, said

LAYOUTS = ("NHWC", "NCHW")
BYTES = "sha256:"
"""What a report calls a model that was bytes begins with; the digest follows."""

WORKER_MEMORY_HELP = "Memory that a process which runs a model may take, in GB."
WORKER_SECONDS_HELP = "Seconds that one run of a model may take before it is stopped."
Progress = Callable[[str, int, int | None], None]
"""(stage, done, total or None), called as the work goes on."""
SAMPLES_SPELLING: dict[str, Any] = {"metavar": "DATA", "several": True, "short": "-c", "reported": False}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ModelOptions:
    """A model, and sizes for its open dimensions."""

    model: str | Path | bytes = field(kw_only=False, metadata=said("Path of a model.", reported=False))
    shape: str | Sequence[str] = field(
        default=(),
        metadata=said("Shape of an input with dynamic dimensions.", metavar="[NAME=]N,...", several=True, converter=True),
    )
    batch: int = field(default=1, metadata=said("Fix a dynamic batch at this size.", parse=int, converter=True))
    worker_memory: float | None = field(
        default=None,
        metadata=said(WORKER_MEMORY_HELP, metavar="GB", parse=float, shown="4 x the model + 2 GB", reported=False),
    )
    worker_seconds: float | None = field(
        default=None,
        metadata=said(WORKER_SECONDS_HELP, metavar="SECONDS", parse=float, shown="10 x the first, at least 60", reported=False),
    )
    progress: Progress | None = field(
        default=None, metadata=said("Called with (stage, done, total) as the work goes on.", reported=False)
    )

    def __repr__(self) -> str:
        chosen = (f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if flag_of(f).reported and not is_default(self, f))
        return f"{type(self).__name__}({', '.join(chosen)})"

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        if not isinstance(self.batch, int) or isinstance(self.batch, bool):
            raise UsageError(f"batch must be an integer, not {self.batch!r}")
        if self.batch < 1:
            raise UsageError(f"batch must be at least 1, not {self.batch}")
        _ = self.shapes

    def limited(self) -> AbstractContextManager[None]:
        """The limits of workers, while the context lasts."""
        return limited(self.worker_memory, self.worker_seconds)

    @property
    def shapes(self) -> dict[str | None, tuple[int, ...]]:
        """Shapes of inputs by name; None stands for the only input."""
        return parse_shapes(self.shape)

    @property
    def source(self) -> str | Path | bytes:
        """The model as it was given.

        Raises:
            UsageError: it is neither a path nor bytes.
        """
        if isinstance(self.model, bytearray | memoryview):
            return bytes(self.model)
        if not isinstance(self.model, str | Path | bytes):
            raise UsageError(f"the model must be a path or bytes, not {type(self.model).__name__}")
        return self.model


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SampleOptions(ModelOptions):
    """Choices about samples."""

    samples: Any = field(
        default=None,
        kw_only=False,
        metadata=said(
            "Representative samples: .npz, .npy, a folder of images, or file.py:function; KEY=DATA for each of several "
            "signatures.",
            **SAMPLES_SPELLING,
        ),
    )
    num_samples: int | None = field(
        default=None,
        metadata=said(
            "Use N samples: drawn at random from files and arrays, the first N that a function or generator gives.",
            parse=int,
            converter=True,
        ),
    )
    labels: Any = field(
        default=None,
        metadata=said(
            "The right class of each sample: the name of an array of the .npz, a .npy, .npz or text file, or folders (images "
            "in a folder for each class). The report then has the accuracy before and after.",
            metavar="NAME|FILE|folders",
            reported=False,
        ),
    )
    seed: int = field(
        default=0,
        metadata=said(
            "Of the draw of samples that are held back from calibration, and of --num-samples.", parse=int, converter=True
        ),
    )
    drop_outliers: bool = field(
        default=False,
        metadata=said(
            "Leave out the few samples that alone set ranges, where there are such; the report names them.", converter=True
        ),
    )
    strict_samples: bool = field(
        default=False, metadata=said("Refuse samples that the report has a finding about.", converter=True)
    )
    mean: float | Sequence[float] = field(
        default=0.0, metadata=said("Images: subtracted from each pixel (0..255); one number, or one per channel.", parse=tuple)
    )
    std: float | Sequence[float] = field(
        default=255.0, metadata=said("Images: what is left is divided by this; as --mean.", parse=tuple)
    )
    layout: str = field(default="NHWC", metadata=said("Images: layout of the model's input.", choices=LAYOUTS))

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        for name, described in (("model", BYTES), ("samples", "<"), ("labels", "<")):
            value = getattr(self, name)
            if isinstance(value, str) and value.startswith(described) and not Path(value).exists():
                raise UsageError(f"the {name} of that run had no path ({value}): to repeat it, give {name}= again")
        if self.num_samples is not None and (not isinstance(self.num_samples, int) or isinstance(self.num_samples, bool)):
            raise UsageError(f"num_samples must be an integer, not {self.num_samples!r}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise UsageError(f"seed must be an integer of at least 0, not {self.seed!r}")
        for name in ("drop_outliers", "strict_samples"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} must be true or false, not {getattr(self, name)!r}")
        one_of("layout", self.layout, LAYOUTS)
        numbers(self.mean)
        if 0 in numbers(self.std):
            raise UsageError("std must not be zero")


def is_default(options: Any, f: Field[Any]) -> bool:
    """Whether an option has the value that it has where none is given."""
    value = getattr(options, f.name)
    value = value[0] if isinstance(value, tuple | list) and len(value) == 1 and not isinstance(f.default, tuple) else value
    return value is f.default or (isinstance(value, str | int | float | tuple | list) and value == f.default)


def numbers(value: float | Sequence[float]) -> tuple[float, ...]:
    """One number, or one for each channel.

    Raises:
        UsageError: it is neither.
    """
    try:
        return (float(value),) if isinstance(value, int | float) else tuple(float(v) for v in value)
    except (TypeError, ValueError) as e:
        raise UsageError(f"mean and std are numbers or sequences of numbers, not {value!r}") from e


def parse_shapes(shape: str | Sequence[str]) -> dict[str | None, tuple[int, ...]]:
    """Shapes of inputs by name; None stands for the only input.

    "1,224,224,3"          of the only input
    "image=1,224,224,3"    of the input of that name

    Raises:
        UsageError: it is no text, or does not look like a shape.
    """
    if not isinstance(shape, str) and not (isinstance(shape, list | tuple) and all(isinstance(s, str) for s in shape)):
        raise UsageError(f"shape must be a string such as 1,224,224,3, or a sequence of them, not {shape!r}")
    return dict(_parse_shape(text) for text in ([shape] if isinstance(shape, str) else shape))


def _parse_shape(text: str) -> tuple[str | None, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    try:
        shape = tuple(int(n) for n in sizes.split(","))
    except ValueError:
        shape = ()
    if not shape or any(n < 1 for n in shape):
        raise UsageError(f'shape must have the form 1,224,224,3 or NAME=1,224,224,3, not "{text}"')
    return name or None, shape


def one_of(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise UsageError where a value is none of the choices."""
    if value not in choices:
        first = ", ".join(choices[:-1])
        raise UsageError(f'{name} must be {first} or {choices[-1]}, not "{value}"')
