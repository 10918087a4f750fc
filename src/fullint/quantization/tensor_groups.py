"""Groups of tensors that share parameters: union-find, with each group's range, and its fixed parameters if it has some.

union(a, b)     one group; its range holds both, its fixed parameters are those of either
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from fullint.model.ir import Op, Quant, Tensor, Uses
from fullint.model.numerics import activation_params, representable
from fullint.model.ranges import Range

FIXED_SLACK = 1.01
"""A fixed range may be exceeded by this factor before its edge is cut (half a step at full scale)."""


def with_zero_point_0(span: Range) -> Range:
    """The range over which int8 codes get zero point 0: [-128 s, 127 s] with the smallest s whose codes hold `span`."""
    step = max(span.high / 127, -span.low / 128)
    return Range(-128 * step, 127 * step)


class TensorGroups:
    """The groups, as far as they are joined.

    Args:
        ranges: of tensors that were measured, or share a value with one that was.
        useful: the part of a tensor's range that its readers can tell apart.
        fixed: parameters that tensors are to have.
        uses: readers of all graphs.
        type_of: element type of a tensor.
    """

    def __init__(
        self,
        ranges: Mapping[Tensor, Range],
        useful: Mapping[Tensor, Range],
        fixed: Mapping[Tensor, Quant],
        uses: Uses,
        type_of: Callable[[Tensor], str],
    ) -> None:
        self.useful, self.uses, self.type_of = useful, uses, type_of
        self.parent: dict[Tensor, Tensor] = {}
        self.members_of: dict[Tensor, list[Tensor]] = {}
        self.range: dict[Tensor, Range] = {t: self.narrow(t, r) for t, r in ranges.items()}
        """Range of each group, by its root."""
        self.fixed = dict(fixed)
        """Fixed parameters of groups that have some, by root."""
        self.clipped: set[Tensor] = set()
        """Roots of groups made of clips alone, whose every member only the next clip reads."""

    def root(self, t: Tensor) -> Tensor:
        """The member that stands for a tensor's group."""
        while (up := self.parent.get(t, t)) is not t:
            t = up
        return t

    def members(self, root: Tensor) -> list[Tensor]:
        """The tensors of a group."""
        return self.members_of.get(root, [root])

    def narrow(self, t: Tensor, span: Range) -> Range:
        """The part of a range that makes a difference to those who read the tensor."""
        return span.clip(self.useful.get(t, span))

    def private(self, op: Op, t: Tensor) -> bool:
        """Whether a clip may saturate its input: nobody else reads it or a tensor of its group."""
        root = self.root(t)
        return self.uses.only_reader(t) is op and (self.members(root) == [t] or root in self.clipped)

    def alone(self, op: Op, t: Tensor) -> bool:
        """Whether nobody but `op` minds the parameters of a tensor's group.

        A reader whose output is in the group, too, only passes the values on.
        """
        root = self.root(t)
        for m in self.members(root):
            if m in self.uses.outputs:
                return False
            for reader, _ in self.uses.of(m):
                inside = any(self.root(out) is root for out in reader.outputs)
                if reader is not op and not inside:
                    return False
        return True

    def whole_range(self, t: Tensor) -> Range:
        """What a tensor's group holds, 0 included."""
        root = self.root(t)
        if root in self.range:
            return self.range[root].with_zero()
        return representable(self.fixed[root], self.type_of(t)) if root in self.fixed else Range(0.0, 0.0)

    def union(self, a: Tensor, b: Tensor, *, keep_range: bool = False) -> None:
        """Join the groups of two tensors; `keep_range`: the first one's range is that of both."""
        ra, rb = self.root(a), self.root(b)
        if ra is rb:
            return
        joined = self.members(ra) + self.members(rb)
        pure = keep_range and (ra in self.clipped or self.members(ra) == [ra])
        self.clipped.discard(ra)
        if pure:
            self.clipped.add(ra)
        self.parent[rb] = ra
        self.members_of[ra] = joined
        if rb in self.fixed:
            self.fixed.setdefault(ra, self.fixed[rb])
        if rb in self.range and not keep_range:
            self.widen(ra, self.range[rb])

    def widen(self, t: Tensor, span: Range) -> None:
        """Let a tensor's group hold a range as well."""
        root = self.root(t)
        self.range[root] = span.union(self.range.get(root, span))

    def params(self, t: Tensor) -> Quant:
        """Parameters of a tensor's group."""
        root = self.root(t)
        if root in self.fixed:
            return self.fixed[root]
        return activation_params(self.range.get(root, Range(0.0, 0.0)), self.type_of(t))

    def make_symmetric(self, tensors: Collection[Tensor]) -> tuple[str, ...]:
        """Widen the ranges of some tensors' groups to both sides alike, and say in sentences which keep a zero point.

        Those are groups whose parameters a kernel or the file demands.
        """
        roots = dict.fromkeys(self.root(t) for t in tensors if self.type_of(t) == "int8")
        for root in roots:
            if root in self.range and root not in self.fixed:
                self.range[root] = with_zero_point_0(self.range[root])
        left = [f'"{r.name}"' for r in roots if r in self.fixed and self.fixed[r].zero_point.any()]
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        return (f"symmetric: {', '.join(left[:3])}{more}: a zero point is demanded by a kernel or the file",) if left else ()

    def holds(self, fixed: Quant, span: Range, dtype: str) -> bool:
        """Whether fixed parameters can hold a range, nearly."""
        step = float(fixed.scale[0])
        return representable(fixed, dtype).scale(FIXED_SLACK).contains(span, below=step / 2, above=step)
