"""The parts of one output while samples are compared, and what is reported of them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

import numpy as np

from fullint.model.ir import Array, Op
from fullint.verification.output_parts import OutputParts
from fullint.verification.part_scores import PartFigures, PartSums
from fullint.verification.report import PartQuality

MANY_SLICES, KEPT_ENERGY_DB = 16, 10.0
"""Where more than half of so many slices are lost, but most keep this energy, the samples hardly move the output."""


class JudgedOutput:
    """One output, compared as a whole and in parts."""

    def __init__(self, parts: OutputParts) -> None:
        self.parts = parts
        self.operands = PartSums(len(parts.operands))
        self.slices = PartSums(parts.slices)

    def ordered(self, value: Array) -> Array:
        """The output's values, sorted where the model orders them by size."""
        axis = self.parts.ranked
        return value if axis is None or axis >= value.ndim else np.sort(value, axis=axis)

    def add(self, reference: Array, output: Array) -> None:
        """Add one sample, in real values."""
        if reference.dtype.kind != "f" or not reference.size:
            return
        a, b = reference.reshape(-1), output.reshape(-1)
        if self.parts.operands:
            self.operands.add([(a[p.where], b[p.where]) for p in self.parts.operands])
        if self.parts.slices:
            self.slices.add_table(a.reshape(-1, self.parts.slices), b.reshape(-1, self.parts.slices))

    def qualities(self) -> tuple[PartQuality, ...]:
        """The parts that are reported."""
        if self.slices.origin is None and self.operands.origin is None:
            return ()
        return (*self._operands(), *self._slices())

    def worst(self) -> float:
        """The lowest figure of its parts, in dB, but for those whose error a kernel's scale excuses."""
        count = len(self.parts.operands)
        found = [self.operands.figures(i, self.parts.scale, p.dictated, count) for i, p in enumerate(self.parts.operands)]
        found += [
            self.slices.figures(i, self.parts.scale, self._dictated(i), self.parts.slices) for i in range(self.parts.slices)
        ]
        return min((f.figure for f in found if not f.excused), default=200.0)

    def _operands(self) -> Iterator[PartQuality]:
        for i, p in enumerate(self.parts.operands):
            f = self.operands.figures(i, self.parts.scale, p.dictated, len(self.parts.operands))
            yield _quality(p.name, f, f.status, p.join)

    def _slices(self) -> Iterator[PartQuality]:
        count = self.parts.slices
        found = [self.slices.figures(i, self.parts.scale, self._dictated(i), count) for i in range(count)]
        lost = [f for f in found if f.status in ("lost", "constant")]
        unmoved = count >= MANY_SLICES and len(lost) > count / 2 and median(f.energy_db for f in lost) > KEPT_ENERGY_DB
        covered = self._lost_columns()
        worst = min(range(count), key=lambda i: found[i].figure, default=-1)
        for i, f in enumerate(found):
            status = self._of_slice(f, unmoved=unmoved)
            if i not in covered and (status != "kept" or i == worst):
                name = f"{self.parts.name}[..., {i}]" if count > 1 else self.parts.name
                yield _quality(name, f, status, self.parts.maker)

    def _of_slice(self, f: PartFigures, *, unmoved: bool) -> str:
        """A slice's status: only its scale makes it an error, and noise of one value is no finding."""
        if f.status == "kept" or (not f.by_scale and not f.too_fine and f.by_one):
            return "kept"
        return f.status if f.by_scale and not unmoved else "weak"

    def _dictated(self, column: int) -> float:
        """The scale fixed for a slice, by the operand that it lies in if it lies in one."""
        own = [p.dictated for p in self.parts.operands if (p.where % self.parts.slices == column).any()]
        return min(own) if own else self.parts.dictated

    def _lost_columns(self) -> set[int]:
        """Slices that lie in an operand that is lost as a whole, or that is nothing but this slice."""
        covered: set[int] = set()
        for i, p in enumerate(self.parts.operands):
            status = self.operands.figures(i, self.parts.scale, p.dictated, len(self.parts.operands)).status
            columns = set(np.unique(p.where % self.parts.slices).tolist()) if self.parts.slices else set()
            if status in ("lost", "constant") or len(columns) == 1:
                covered |= columns
        return covered


def _quality(name: str, f: PartFigures, status: str, by: Op | None) -> PartQuality:
    figures = (round(f.energy_db, 3), round(f.spread_db, 3))
    cause = "" if status == "kept" else _cause(f, by)
    return PartQuality(
        name, status, *figures, f.low, f.high, f.step, f.values, by.origin if by is not None and f.by_scale else -1, cause
    )


def _cause(f: PartFigures, by: Op | None) -> str:
    """Why a part is not kept."""
    moves = f"it moves by {f.deviation:.3g} ({f.low:.4g} to {f.high:.4g})"
    if f.too_fine:
        return f"{moves}: too little beside its size for 8 bits, whatever the scale"
    if not f.by_scale or by is None:
        return "the noise of the network is as large as what it moves by"
    where = f'op {by.origin} {by.kind} "{by.output_name}"'
    return f"{where} puts it on a scale with larger values: one step is {f.step:.3g}, and {moves}"
