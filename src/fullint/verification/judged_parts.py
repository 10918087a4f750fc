"""The parts of one output while samples are compared, and what is reported of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.model.ir import Array, Op
from fullint.verification.output_parts import OperandPart, OutputParts
from fullint.verification.part_scores import PartFigures, PartSums
from fullint.verification.report import PartQuality

MANY_SLICES, KEPT_ENERGY_DB, TELLING = 16, 20.0, 24
"""Of so many slices, some may hardly move on the samples given: one that keeps this energy is within a tenth of its size of the
float model, and gives a warning instead of an error. So does one of which fewer values than `TELLING` were seen: ten samples
cannot have shown what each of a thousand classes is for."""


@dataclass(frozen=True, eq=False)
class _Slices:
    """The slices of an output along one axis."""

    axis: int
    sums: PartSums

    def table(self, value: Array) -> Array:
        """Values as [values, slices]."""
        return np.moveaxis(value, self.axis, -1).reshape(-1, value.shape[self.axis])


class JudgedOutput:
    """One output, compared as a whole and in parts."""

    def __init__(self, parts: OutputParts) -> None:
        self.parts = parts
        self.operands = PartSums(len(parts.operands))
        self.slices = [_Slices(axis, PartSums(parts.shape[axis] if parts.shape else 1)) for axis in parts.axes]

    def ordered(self, value: Array) -> Array:
        """The output's values, sorted where the model orders them by size."""
        axis = self.parts.ranked
        return value if axis is None or axis >= value.ndim else np.sort(value, axis=axis)

    def add(self, reference: Array, output: Array) -> None:
        """Add one sample, in real values."""
        if reference.dtype.kind != "f" or not reference.size or reference.shape != self.parts.shape:
            return
        a, b = np.atleast_1d(reference), np.atleast_1d(output)
        if self.parts.operands:
            self.operands.add([(a.reshape(-1)[p.where], b.reshape(-1)[p.where]) for p in self.parts.operands])
        for s in self.slices:
            s.sums.add_table(s.table(a), s.table(b))

    def qualities(self) -> tuple[PartQuality, ...]:
        """The parts that are reported."""
        own = [q for s in self.slices if s.sums.origin is not None for q in self._slices(s)]
        return (*self._operands(), *own) if own or self.operands.origin is not None else ()

    def worst(self) -> float:
        """The lowest figure of its parts, in dB, but for those whose error a kernel's scale excuses."""
        found = [f for _, f in self._of_operands()]
        found += [f for s in self.slices if s.sums.origin is not None for f in self._of_slices(s)]
        return min((f.figure for f in found if not f.excused), default=200.0)

    def _of_operands(self) -> list[tuple[OperandPart, PartFigures]]:
        if self.operands.origin is None:
            return []
        count = len(self.parts.operands)
        return [(p, self.operands.figures(i, self.parts.scale, p.dictated, count)) for i, p in enumerate(self.parts.operands)]

    def _of_slices(self, s: _Slices) -> list[PartFigures]:
        count = len(s.sums.values)
        own = [(p.dictated, self._columns(p, s.axis)) for p in self.parts.operands]
        return [s.sums.figures(i, self.parts.scale, self._dictated(own, i), count) for i in range(count)]

    def _operands(self) -> Iterator[PartQuality]:
        for p, f in self._of_operands():
            yield _quality(p.name, f, f.status, p.join)

    def _slices(self, s: _Slices) -> Iterator[PartQuality]:
        found = self._of_slices(s)
        covered = self._lost_columns(s.axis)
        worst = min(range(len(found)), key=lambda i: found[i].figure, default=-1)
        for i, f in enumerate(found):
            untold = f.energy_db > KEPT_ENERGY_DB or f.values < TELLING
            status = _of_slice(f, hardly_moves=len(found) >= MANY_SLICES and untold)
            if i not in covered and (status != "kept" or (i == worst and s is self.slices[0])):
                yield _quality(self._name(s.axis, i), f, status, self.parts.maker)

    def _name(self, axis: int, index: int) -> str:
        if len(self.parts.shape) < 1 or self.parts.shape[axis] == 1:
            return self.parts.name
        last = axis == len(self.parts.shape) - 1
        return f"{self.parts.name}[..., {index}]" if last else f"{self.parts.name}[{':, ' * axis}{index}]"

    def _columns(self, p: OperandPart, axis: int) -> set[int]:
        """The slices that an operand has values in."""
        return set(np.unique(np.unravel_index(p.where, self.parts.shape)[axis]).tolist())

    def _dictated(self, operands: Sequence[tuple[float, set[int]]], column: int) -> float:
        """The scale fixed for a slice, by the operands (each: scale, columns) that it lies in if it lies in some."""
        return min((scale for scale, columns in operands if column in columns), default=self.parts.dictated)

    def _lost_columns(self, axis: int) -> set[int]:
        """Slices that lie in an operand that is lost as a whole, or that is nothing but this slice."""
        covered: set[int] = set()
        for p, f in self._of_operands():
            columns = self._columns(p, axis)
            if f.status in ("lost", "constant") or len(columns) == 1:
                covered |= columns
        return covered


def _of_slice(f: PartFigures, *, hardly_moves: bool) -> str:
    """A slice's status: only its scale makes it an error, and noise of one value is no finding."""
    if f.status == "kept" or (not f.by_scale and not f.too_fine and f.by_one):
        return "kept"
    return f.status if f.by_scale and not hardly_moves else "weak"


def _quality(name: str, f: PartFigures, status: str, by: Op | None) -> PartQuality:
    figures = (round(f.energy_db, 3), round(f.spread_db, 3))
    operator = by.origin if by is not None and f.by_scale else -1
    cause = "" if status == "kept" else _cause(f, by)
    return PartQuality(name, status, *figures, f.low, f.high, f.step, f.values, operator, cause)


def _cause(f: PartFigures, by: Op | None) -> str:
    """Why a part is not kept."""
    moves = f"it moves by {f.deviation:.3g} ({f.low:.4g} to {f.high:.4g})"
    if f.too_fine:
        return f"{moves}: too little beside its size for 8 bits, whatever the scale"
    if not f.by_scale or by is None:
        return "the noise of the network is as large as what it moves by"
    where = f'op {by.origin} {by.kind} "{by.output_name}"'
    if not f.step:
        return f"{moves}, and nothing of it reaches {where}"
    return f"{where} puts it on a scale with larger values: one step is {f.step:.3g}, and {moves}"
