"""Which tensors the items of `--ranges` mean, and the methods that make their ranges.

    NAME=METHOD  --in the given model-->  operators, tensors  --in the prepared one-->  tensors that are measured

Passes put other operators in the place of the given ones, so a tensor is meant if it is an output that was named, or an output of
what was made of an operator that was named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fullint.calibration.clipping import CLIPPING
from fullint.calibration.range_methods import RangeMethod
from fullint.calibration.statistics import Stats
from fullint.model.ir import Model, Op, Tensor
from fullint.ops import ROWS
from fullint.options.of_ranges import RangeChoice
from fullint.passes.named_operators import named_operators, operators_named


@dataclass(frozen=True, eq=False)
class SelectedRanges:
    """A choice of a method with what it is for.

    Attributes:
        choice: the method.
        places: (graph, index in the given file) of the operators that it names.
        tensors: their outputs, and inputs of the model that it names.
    """

    choice: RangeChoice
    places: frozenset[tuple[int, int]]
    tensors: frozenset[Tensor]

    def means(self, number: int, op: Op | None, t: Tensor) -> bool:
        """Whether a tensor of a prepared model is meant: an output of an operator of a graph as it was read, or an input."""
        made = op is not None and any((number, i) in self.places for i in op.origins)
        return self.choice.of is None or made or t in self.tensors


def select_ranges(model: Model, choices: Sequence[RangeChoice]) -> tuple[SelectedRanges, ...]:
    """What each choice names in a model as it was read; what is for all tensors comes first, so that names count more.

    Raises:
        UsageError: a choice names no float operator, and no input.
    """
    found = []
    for choice in sorted(choices, key=lambda c: c.of is not None):
        inputs = {t for graph in model.entries for t in graph.inputs if t.is_float and choice.of == t.name}
        absent = choice.ruled and choice.of in ROWS and not operators_named(model, choice.of)  # a warning is given elsewhere
        named = choice.of is not None and not inputs and not absent
        ops = {*named_operators(model, [str(choice.of)], "ranges")} if named else set()
        places = frozenset((number, op.origin) for number, op in model.ops() if op in ops)
        found.append(SelectedRanges(choice, places, frozenset(inputs | {t for op in ops for t in op.outputs})))
    return tuple(found)


def methods_for(
    model: Model,
    measured: Sequence[Tensor],
    selected: Sequence[SelectedRanges],
    wide: Callable[[int, Op], bool],
    activations: str,
) -> tuple[dict[Tensor, RangeMethod], tuple[str, ...]]:
    """Methods, before the first sample, of the measured tensors that have another than min-max; and choices without effect.

    Args:
        model: prepared.
        measured: its tensors whose ranges are measured.
        selected: what was chosen; of several choices that mean a tensor, the last one counts.
        wide: (graph, operator) -> whether it is to compute in int16.
        activations: element type of the others.
    """
    made_by = {t: (number, op) for number, op in model.ops() for t in op.outputs}
    methods: dict[Tensor, RangeMethod] = {}
    used: set[RangeChoice] = set()
    for t in measured:
        number, op = made_by.get(t, (0, None))
        meant = [s.choice for s in selected if s.means(model.graphs[number].origin, op, t)]
        used |= {*meant}
        if meant and meant[-1].method in CLIPPING:
            bits = 16 if _in_int16(op, activations) or (op is not None and wide(number, op)) else 8
            methods[t] = CLIPPING[meant[-1].method].chosen(meant[-1].parameter, bits)
    idle = [s.choice.of for s in selected if s.choice.of is not None and s.choice not in used]
    return methods, tuple(f'ranges: "{of}" has no effect: no range is measured of what it names' for of in idle)


def to_be_tried(
    model: Model, measured: Sequence[Tensor], chosen: Mapping[Tensor, RangeMethod], wide: Callable[[int, Op], bool]
) -> dict[Tensor, RangeMethod]:
    """The method that the best effort tries for tensors that no method was chosen for, before the first sample.

    In int16, the steps are so small that nothing is gained by cutting values off.
    """
    left = {t for number, op in model.ops() if wide(number, op) for t in op.outputs}
    return {t: CLIPPING["mse"].chosen(None, 8) for t in measured if t not in chosen and t not in left}


def _in_int16(op: Op | None, activations: str) -> bool:
    row = ROWS.get(op.kind) if op is not None else None
    return activations == "int16" and (row is None or bool(row.int16))


def left_as_they_are(methods: Mapping[Tensor, RangeMethod], stats: Stats) -> tuple[str, ...]:
    """What is to be said of tensors that could not have the range that was asked for."""
    left = [f'"{t.name}"' for t in methods if t not in stats.narrowed and t not in stats.unseen]
    if not left:
        return ()
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return (f"ranges: {', '.join(left[:3])}{more}: min-max, in a loop or branch, or with masks among the values",)
