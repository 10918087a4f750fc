"""Conditions on an operator, as values, from which the rows of acceptance tables are built.

Each returns None if it holds, or a sentence that says why the delegate rejects the operator. Operands are given by
position; `OUT` is the first output.
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
    """A condition that an operator must meet."""

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """Why the condition does not hold, or None if it holds.

        Args:
            op: the operator.
            static: tensors that count as constants because the delegate expands them in advance.
        """
        ...


def operand(op: Op, position: int) -> Tensor | None:
    """The operand at a position, or None; `OUT` is the first output."""
    if position == OUT:
        return op.outputs[0] if op.outputs else None
    return op.input(position)


def name(op: Op, position: int) -> str:
    """An operand as messages name it."""
    t = operand(op, position)
    what = "output" if position == OUT else f"input {position}"
    return f'its {what} "{t.name}"' if t is not None else f"its {what}"


def quantized(t: Tensor, *dtypes: str) -> bool:
    """Whether a tensor has one of these types and a single scale."""
    return t.dtype in dtypes and t.quant is not None and t.quant.scale.size == 1 and t.quant.axis == 0


def is_float(t: Tensor) -> bool:
    """Whether a tensor is float32 or float16."""
    return t.dtype in ("float32", "float16")


def ratio(op: Op, *positions: int) -> float | None:
    """Product of the operands' scales divided by the output's scale, or None if one is not quantized like the output."""
    out = operand(op, OUT)
    if out is None or out.quant is None or not out.quant.scale.size or out.is_float:
        return None
    step = float(out.quant.scale[0])
    value = 1.0 / step if step else float("inf")
    for i in positions:
        t = operand(op, i)
        if t is None or t.quant is None or not t.quant.scale.size or t.dtype != out.dtype:
            return None
        value *= float(t.quant.scale[0])
    return value


@dataclass(frozen=True)
class Count:
    """The numbers of inputs and of outputs are within these (smallest, largest)."""

    inputs: tuple[int, int]
    outputs: tuple[int, int] = (1, 1)

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        if not self.inputs[0] <= len(op.inputs) <= self.inputs[1]:
            return f"it has {len(op.inputs)} inputs; supported: {_span(self.inputs)}"
        if not self.outputs[0] <= len(op.outputs) <= self.outputs[1]:
            return f"it has {len(op.outputs)} outputs; supported: {_span(self.outputs)}"
        return None


@dataclass(frozen=True)
class Types:
    """The operands have types that pass a test; `text` lists the types."""

    positions: tuple[int, ...]
    fits: Callable[[Tensor], bool]
    text: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        for i in self.positions:
            t = operand(op, i)
            if t is not None and not self.fits(t):
                return f"{name(op, i)} is {_type(t)}; supported: {self.text}"
        return None


@dataclass(frozen=True)
class SameType:
    """The operands have the same element type."""

    positions: tuple[int, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        kinds = [t.dtype for i in self.positions if (t := operand(op, i)) is not None]
        return f"it mixes {' and '.join(dict.fromkeys(kinds))}" if len(set(kinds)) > 1 else None


@dataclass(frozen=True)
class Static:
    """The operands are constants."""

    positions: tuple[int, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        for i in self.positions:
            t = operand(op, i)
            if t is not None and not t.is_constant and t not in static:
                return f"{name(op, i)} is computed at run time; it must be a constant"
        return None


@dataclass(frozen=True)
class Present:
    """The operand exists."""

    position: int
    what: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        return None if operand(op, self.position) is not None else f"it has no {self.what}"


@dataclass(frozen=True)
class Rank:
    """The operands have from `least` to `most` dimensions, all of known size."""

    positions: tuple[int, ...]
    least: int
    most: int

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        for i in self.positions:
            t = operand(op, i)
            if t is not None and not self.least <= len(t.shape) <= self.most:
                return f"{name(op, i)} has {len(t.shape)} dimensions; supported: {_span((self.least, self.most))}"
            if t is not None and any(n <= 0 for n in t.shape):
                return f"{name(op, i)} has shape {list(t.shape)}; every dimension must be known"
        return None


@dataclass(frozen=True)
class Option:
    """An option of the operator has one of these values, if it is set."""

    field: str
    values: tuple[object, ...]
    text: str = ""

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        value = op.options.get(self.field)
        if value is None or value in self.values:
            return None
        return self.text or f"{self.field} is {value}; supported: {' or '.join(map(str, self.values))}"


@dataclass(frozen=True)
class Ratio:
    """The product of the inputs' scales divided by the output's is within bounds: least <= ratio < most (<= if `closed`)."""

    positions: tuple[int, ...]
    least: float
    most: float
    closed: bool = False

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        value = ratio(op, *self.positions)
        if value is None:
            return None
        value = float(np.float32(value))
        inside = self.least <= value and (value <= self.most if self.closed else value < self.most)
        what = "the product of its inputs' scales" if len(self.positions) > 1 else f"the scale of {name(op, self.positions[0])}"
        return None if inside else f"{what} is {value:.4g} times the output's; supported: {self.least:.4g} to {self.most:.4g}"


@dataclass(frozen=True)
class SameParameters:
    """The operands of these types have equal scales and zero points."""

    positions: tuple[int, ...]
    dtypes: tuple[str, ...] = ("int8", "uint8")

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        given = [t for i in self.positions if (t := operand(op, i)) is not None and t.dtype in self.dtypes]
        if any(a.quant is None or not a.quant.same_as(given[0].quant) for a in given):
            return "its operands have different scales or zero points"
        return None


@dataclass(frozen=True)
class Weights:
    """The per-channel scales of int8 or int4 weights run along an axis."""

    position: int
    axis: int

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        t = operand(op, self.position)
        if t is None or t.dtype not in ("int8", "int4") or t.quant is None or not t.quant.scale.size:
            return None
        axis = self.axis % len(t.shape) if t.shape else 0
        if t.quant.per_channel and t.quant.axis != axis:
            return f"the scales of {name(op, self.position)} run along axis {t.quant.axis}; supported: axis {axis}"
        return None


@dataclass(frozen=True)
class ZeroPoint:
    """The operand has zero point 0, if it has one of these types."""

    position: int
    dtypes: tuple[str, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        t = operand(op, self.position)
        if t is not None and t.dtype in self.dtypes and t.quant is not None and (t.quant.zero_point != 0).any():
            return f"{name(op, self.position)} has a zero point other than 0"
        return None


@dataclass(frozen=True)
class Values:
    """All values of a constant pass a test."""

    position: int
    fits: Callable[[float], bool]
    text: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        t = operand(op, self.position)
        if t is None or t.buffer is None or t.dtype not in ("int32", "int64", "float32"):
            return None
        return None if all(self.fits(float(v)) for v in t.array.reshape(-1)) else f"{name(op, self.position)}: {self.text}"


@dataclass(frozen=True)
class Version:
    """The operator's version is at most, or exactly, `most`."""

    most: int
    exact: bool = False

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        if op.version > self.most or (self.exact and op.version != self.most):
            return f"it is version {op.version}; supported: {'' if self.exact else 'up to '}{self.most}"
        return None


@dataclass(frozen=True)
class Never:
    """The operator is never accepted; `text` says why."""

    text: str

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        return self.text


@dataclass(frozen=True)
class Custom:
    """Any other condition, as a function."""

    check: Callable[[Op], str | None]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        return self.check(op)


@dataclass(frozen=True)
class When:
    """Conditions that apply only to operators that pass a test."""

    applies: Callable[[Op], bool]
    conditions: tuple[Condition, ...]

    def no(self, op: Op, static: Collection[Tensor]) -> str | None:
        """See `Condition.no`."""
        if not self.applies(op):
            return None
        return next((why for c in self.conditions if (why := c.no(op, static))), None)


def normal(value: float) -> bool:
    """Whether a number is a normal float32: finite, not 0 and not subnormal."""
    return math.isfinite(value) and abs(value) >= float(np.finfo(np.float32).tiny)


def _span(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]} to {span[1]}"


def _type(t: Tensor) -> str:
    if t.dtype in FLOAT_TYPES or t.quant is None or not t.quant.scale.size:
        return t.dtype
    return (
        f"{t.dtype} with {t.quant.scale.size} scales along axis {t.quant.axis}" if t.quant.per_channel else f"quantized {t.dtype}"
    )
