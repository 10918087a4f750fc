"""Conditions on an operator, as values: what the rows of acceptance tables are made of.

Each answers with None, or with the sentence that says why the operator is refused. Operands are named by position;
`OUT` is the first output.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fullint.model.ir import FLOAT_TYPES, Op, Tensor

OUT = -1


class Condition(Protocol):
    """One thing that must hold."""

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Why it does not hold, None where it does.

        Args:
            static: tensors that count as constants without being such (expanded ahead of time).
        """
        ...


def operand(op: Op, position: int) -> Tensor | None:
    """An operand by position, `OUT` the first output."""
    if position == OUT:
        return op.outputs[0] if op.outputs else None
    return op.input(position)


def name(op: Op, position: int) -> str:
    """An operand in a sentence."""
    t = operand(op, position)
    what = "output" if position == OUT else f"input {position}"
    return f'its {what} "{t.name}"' if t is not None else f"its {what}"


def quantized(t: Tensor, *dtypes: str) -> bool:
    """Whether a tensor has one scale and is of one of these types."""
    return t.dtype in dtypes and t.quant is not None and t.quant.scale.size == 1 and t.quant.axis == 0


def is_float(t: Tensor) -> bool:
    """float32 or float16."""
    return t.dtype in ("float32", "float16")


def ratio(op: Op, *positions: int) -> float | None:
    """Product of the scales of some operands over the output's, None where they have none."""
    out = operand(op, OUT)
    if out is None or out.quant is None or not out.quant.scale.size or out.is_float:
        return None
    value = 1.0 / float(out.quant.scale[0])
    for i in positions:
        t = operand(op, i)
        if t is None or t.quant is None or not t.quant.scale.size or t.dtype != out.dtype:
            return None
        value *= float(t.quant.scale[0])
    return value


@dataclass(frozen=True)
class Count:
    """Numbers of inputs and outputs."""

    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether the numbers fit."""
        if not self.inputs[0] <= len(op.inputs) <= self.inputs[1]:
            return f"it has {len(op.inputs)} inputs; {_span(self.inputs)} are taken"
        if not self.outputs[0] <= len(op.outputs) <= self.outputs[1]:
            return f"it has {len(op.outputs)} outputs; {_span(self.outputs)} are taken"
        return None


@dataclass(frozen=True)
class Types:
    """Operands are of a family of types."""

    positions: tuple[int, ...]
    fits: Callable[[Tensor], bool]
    text: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether all fit."""
        for i in self.positions:
            t = operand(op, i)
            if t is not None and not self.fits(t):
                return f"{name(op, i)} is {_type(t)}; {self.text} is taken"
        return None


@dataclass(frozen=True)
class SameType:
    """Operands share one element type."""

    positions: tuple[int, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether they do."""
        kinds = [t.dtype for i in self.positions if (t := operand(op, i)) is not None]
        return f"it mixes {' and '.join(dict.fromkeys(kinds))}" if len(set(kinds)) > 1 else None


@dataclass(frozen=True)
class Static:
    """Operands are constants."""

    positions: tuple[int, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether they are."""
        for i in self.positions:
            t = operand(op, i)
            if t is not None and not t.is_constant and t not in static:
                return f"{name(op, i)} is computed at run time; a constant is taken"
        return None


@dataclass(frozen=True)
class Present:
    """An operand is there."""

    position: int
    what: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether it is."""
        return None if operand(op, self.position) is not None else f"it has no {self.what}"


@dataclass(frozen=True)
class Rank:
    """Numbers of dimensions, and none that is open."""

    positions: tuple[int, ...]
    least: int
    most: int

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether they fit."""
        for i in self.positions:
            t = operand(op, i)
            if t is not None and not self.least <= len(t.shape) <= self.most:
                return f"{name(op, i)} has {len(t.shape)} dimensions; {_span((self.least, self.most))} are taken"
            if t is not None and any(n <= 0 for n in t.shape):
                return f"{name(op, i)} has the shape {list(t.shape)}; every dimension must be known"
        return None


@dataclass(frozen=True)
class Option:
    """An option of the operator has one of these values."""

    field: str
    values: tuple[object, ...]
    text: str = ""

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether it has."""
        value = op.options.get(self.field)
        if value is None or value in self.values:
            return None
        return self.text or f"{self.field} is {value}; {' or '.join(map(str, self.values))} is taken"


@dataclass(frozen=True)
class Ratio:
    """Scale of the inputs (their product) over the output's lies within bounds; `least <= ratio < most`."""

    positions: tuple[int, ...]
    least: float
    most: float
    closed: bool = False

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether it does."""
        value = ratio(op, *self.positions)
        if value is None:
            return None
        value = float(np.float32(value))
        inside = self.least <= value and (value <= self.most if self.closed else value < self.most)
        what = "the product of its inputs' scales" if len(self.positions) > 1 else f"the scale of {name(op, self.positions[0])}"
        return None if inside else f"{what} is {value:.4g} times the output's; {self.least:.4g} to {self.most:.4g} is taken"


@dataclass(frozen=True)
class SameParameters:
    """Operands have equal scales and zero points where they are quantized."""

    positions: tuple[int, ...]
    dtypes: tuple[str, ...] = ("int8", "uint8")

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether they have."""
        given = [t for i in self.positions if (t := operand(op, i)) is not None and t.dtype in self.dtypes]
        if any(a.quant is None or not a.quant.same_as(given[0].quant) for a in given):
            return "its operands have different scales or zero points"
        return None


@dataclass(frozen=True)
class Weights:
    """Quantized weights: zero point 0, and channels along an axis."""

    position: int
    axis: int

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether they are so."""
        t = operand(op, self.position)
        if t is None or t.dtype not in ("int8", "int4") or t.quant is None or not t.quant.scale.size:
            return None
        axis = self.axis % len(t.shape) if t.shape else 0
        if t.quant.per_channel and t.quant.axis != axis:
            return f"the scales of {name(op, self.position)} run along axis {t.quant.axis}; {axis} is taken"
        return None


@dataclass(frozen=True)
class ZeroPoint:
    """An operand of a type has zero point 0."""

    position: int
    dtypes: tuple[str, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether it has."""
        t = operand(op, self.position)
        if t is not None and t.dtype in self.dtypes and t.quant is not None and (t.quant.zero_point != 0).any():
            return f"{name(op, self.position)} has a zero point; 0 is taken"
        return None


@dataclass(frozen=True)
class Values:
    """A constant's values all pass a test."""

    position: int
    fits: Callable[[float], bool]
    text: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether they do."""
        t = operand(op, self.position)
        if t is None or t.buffer is None or t.dtype not in ("int32", "int64", "float32"):
            return None
        return None if all(self.fits(float(v)) for v in t.array.reshape(-1)) else f"{name(op, self.position)}: {self.text}"


@dataclass(frozen=True)
class Version:
    """The operator's version is at most, or exactly, this."""

    most: int
    exact: bool = False

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Whether it is."""
        if op.version > self.most or (self.exact and op.version != self.most):
            return f"it is version {op.version}; {'' if self.exact else 'up to '}{self.most} is taken"
        return None


@dataclass(frozen=True)
class Never:
    """Taken under no condition."""

    text: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """The reason."""
        return self.text


@dataclass(frozen=True)
class Custom:
    """Anything else, as a function; for what only one row says."""

    check: Callable[[Op], str | None]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """What the function says."""
        return self.check(op)


@dataclass(frozen=True)
class When:
    """Conditions that hold for some operators only."""

    applies: Callable[[Op], bool]
    conditions: tuple[Condition, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """The first that does not hold."""
        if not self.applies(op):
            return None
        return next((why for c in self.conditions if (why := c.no(op, static))), None)


def normal(value: float) -> bool:
    """Whether a number is a normal float32 other than 0."""
    return math.isfinite(value) and abs(value) >= float(np.finfo(np.float32).tiny)


def _span(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]} to {span[1]}"


def _type(t: Tensor) -> str:
    if t.dtype in FLOAT_TYPES or t.quant is None or not t.quant.scale.size:
        return t.dtype
    return (
        f"{t.dtype} with {t.quant.scale.size} scales along axis {t.quant.axis}" if t.quant.per_channel else f"quantized {t.dtype}"
    )
