"""What a snippet says about an input or output: type, shape, parameters, range of real values. And how it is spelled.

Tensor "x" int8 [1, 4] scale 0.5 zero point -128    ->    input_0, codes -128..127 stand for 0..127.5
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from fullint.documents import cut
from fullint.errors import UsageError
from fullint.model.ir import NUMPY_TYPES, Quant, Tensor
from fullint.model.numerics import RANGES, representable
from fullint.printable import one_line

QUANTIZED_TYPES = ("int8", "uint8", "int16")
"""Types whose values are codes where they have parameters; any other value is passed as it is."""


@dataclass(frozen=True)
class InterfaceTensor:
    """An input or output.

    Attributes:
        kind: "input" or "output".
        index: its position among them.
        name: of the tensor, as in the file: any text.
        dtype: TFLite's name of the type.
        shape: as stored in the file.
        open_shape: the shape with -1 where the size is not fixed, or None.
        scale: the shortest decimal that is read as the very float32 scale, or "" if values are passed as they are.
        zero_point: the code of 0.
        codes: smallest and largest code.
        real: the real values of these.
    """

    kind: str
    index: int
    name: str
    dtype: str
    shape: tuple[int, ...]
    open_shape: tuple[int, ...] | None = None
    scale: str = ""
    zero_point: int = 0
    codes: tuple[int, int] = (0, 0)
    real: tuple[float, float] = (0.0, 0.0)

    @property
    def identifier(self) -> str:
        """A name that is valid in every language."""
        return f"{self.kind}_{self.index}"

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        """One line for a comment."""
        name = in_comment(cut(self.name).replace("…", "..."))
        stored = f" (stored size of {list(self.open_shape)}; open dimensions can be resized)" if self.open_shape else ""
        low, high = (f"{v:.6g}" for v in self.real)
        codes = (
            f"real values {low} to {high} (scale {self.scale}, zero point {self.zero_point})" if self.scale else "not quantized"
        )
        return f'{self.kind} {self.index} "{name}": {self.dtype} {list(self.shape)}{stored}, {codes}'


def describe_interface(kind: str, tensors: Iterable[Tensor]) -> list[InterfaceTensor]:
    """The inputs or outputs of a graph.

    Raises:
        UsageError: one has no values that a program could pass, or parameters that no single formula can use.
    """
    return [_described(kind, index, tensor) for index, tensor in enumerate(tensors)]


def _described(kind: str, index: int, t: Tensor) -> InterfaceTensor:
    signature = t.shape_signature
    opened = signature if signature and any(n < 0 for n in signature) else None
    plain = InterfaceTensor(kind, index, t.name, t.dtype, t.shape, opened)
    if t.dtype not in NUMPY_TYPES:
        raise UsageError(f'a snippet cannot pass values of type {t.dtype}: {kind} {index} "{t.name}"')
    if t.dtype not in QUANTIZED_TYPES or t.quant is None or not t.quant.scale.size:
        return plain
    if t.quant.per_channel:
        raise UsageError(f'a snippet needs one scale, and {kind} {index} "{t.name}" has {t.quant.scale.size}')
    return _quantized(plain, t.quant)


def _quantized(plain: InterfaceTensor, quant: Quant) -> InterfaceTensor:
    if quant.scale[0] == 0:  # a file that is damaged otherwise has been refused
        raise UsageError(f'a snippet needs a scale other than 0: {plain.kind} {plain.index} "{plain.name}"')
    span = representable(quant, plain.dtype)
    return replace(
        plain,
        scale=str(quant.scale[0]),
        zero_point=int(quant.zero_point[0]),
        codes=RANGES[plain.dtype],
        real=(span.low, span.high),
    )


def require_types(tensors: Sequence[InterfaceTensor], known: Mapping[str, object], language: str) -> None:
    """Raise UsageError if an input or output has a type that a language's runtime lacks."""
    for t in tensors:
        if t.dtype not in known:
            raise UsageError(f'a snippet in {language} cannot pass values of type {t.dtype}: {t.kind} {t.index} "{t.name}"')


def in_comment(text: str) -> str:
    """Any text in printable ASCII on one line; followed by a quote, it neither ends nor continues a line comment."""
    return "".join(c if c.isascii() else c.encode("unicode_escape").decode() for c in one_line(text))


def file_name(path: str) -> str:
    """The name of the model's file, for comments."""
    return in_comment(PurePath(path).name)


def file_identifier(path: str) -> str:
    """The name of the model's file as an identifier, to tell the names of several models apart."""
    stem = re.sub(r"\W+", "_", PurePath(path).stem, flags=re.ASCII).strip("_")
    return stem if re.match(r"[A-Za-z]", stem) else f"model_{stem}".rstrip("_")
