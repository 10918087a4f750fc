"""Operators of the integer model together with those of the float model that they stand for.

    float     x --CONV_2D--> . --ADD--> . --RELU--> y            group: CONV_2D  <->  CONV_2D, ADD, RELU
    integer   x'--CONV_2D------------------------> y'            takes x', gives y'

A group reads and gives matched activations only; what lies between two of them belongs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fullint.comparing.matching import Matching
from fullint.model.ir import Graph, Op, Tensor, Uses
from fullint.quantization.pieces import without_state


@dataclass(frozen=True, eq=False)
class OperatorGroup:
    """Operators that are compared as one.

    Attributes:
        ops: of the integer model, in order; the last one names the group.
        takes: matched activations that they read.
        gives: matched activations that the last one makes.
        exact: operators of the float model between the same activations, in order.
        closed: whether the operators of the float model read nothing but these activations and constants.
    """

    ops: tuple[Op, ...]
    takes: tuple[Tensor, ...]
    gives: tuple[Tensor, ...]
    exact: tuple[Op, ...]
    closed: bool

    @property
    def last(self) -> Op:
        """The operator that names the group."""
        return self.ops[-1]


def operator_groups(exact: Graph, integer: Graph, matching: Matching) -> tuple[list[OperatorGroup], dict[Op, str]]:
    """The groups in the order of the integer model, and operators that are in none, with the reason."""
    place = {op: i for i, op in enumerate(integer.ops)}, {op: i for i, op in enumerate(exact.ops)}
    uses = Uses(integer), Uses(exact)
    stateless = {*without_state(integer, integer.ops)}
    groups, taken = [], set[Op]()
    left: dict[Op, str] = {}
    for op in integer.ops:
        gives = tuple(t for t in op.outputs if t in matching.exact)
        if not gives:
            continue
        ops, takes, open_ends = _between([op], matching.exact, uses[0])
        if open_ends or not takes or any(t.is_variable for o in ops for t in o.operands()) or not {*ops} <= stateless | {op}:
            left[op] = "it reads a variable, or a value that has no counterpart in the float model"
            continue
        own = sorted(ops, key=lambda o: place[0][o])
        frontier = {matching.exact[t]: t for t in takes}
        ends = [
            uses[1].producer[t]
            for t in dict.fromkeys(matching.exact[g] for g in gives)
            if t in uses[1].producer and t not in frontier
        ]
        others, read, others_open = _between(ends, frontier, uses[1])
        groups.append(
            OperatorGroup(
                tuple(own),
                tuple(takes),
                gives,
                tuple(sorted(others, key=lambda o: place[1][o])),
                closed=not others_open and {*read} <= {*frontier},
            )
        )
        taken |= {*own}
    for op in integer.ops:
        if op not in taken and op not in left:
            left[op] = "none of its results was found in the float model, nor does one that was found depend on it"
    return groups, left


def _between(
    ends: list[Op], known: Mapping[Tensor, Tensor] | AbstractSet[Tensor], uses: Uses
) -> tuple[list[Op], list[Tensor], bool]:
    """The operators that make something of known activations, these activations, and whether it takes others as well."""
    ops, read, unknown, waiting = dict.fromkeys(ends), dict[Tensor, None](), False, [*ends]
    while waiting:
        for t in _read(waiting.pop()):
            if t in known:
                read[t] = None
            elif t in uses.producer:
                maker = uses.producer[t]
                if maker not in ops:
                    ops[maker] = None
                    waiting.append(maker)
            else:
                unknown = True
    return [*ops], [*read], unknown


def _read(op: Op) -> Iterator[Tensor]:
    yield from (t for t in op.inputs if t is not None and not t.is_constant)
