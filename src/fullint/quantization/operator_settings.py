"""What is asked for of single operators: by the rules of a recipe, in their order, then by the call's own options.

[[rules]] match = "block/*", int16 = true       (0, 12) -> int16
[[rules]] match = 12, symmetric = true          (0, 12) -> int16, symmetric
--int16 SOFTMAX                                 (0, 14) -> int16
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fullint.errors import UsageError
from fullint.model.ir import Model, Op, Tensor
from fullint.ops import ROWS, has_int16, traits_of
from fullint.options import QuantizeOptions, Recipe
from fullint.passes.named_operators import by_item, is_by_type, is_pattern, operators_named

Place = tuple[int, int]
"""Graph, and index of an operator in the given file."""


@dataclass(frozen=True)
class OperatorSettings:
    """What is asked for of one operator; None where nobody says.

    Attributes: those of `options.recipes.RecipeRule`, by the same names.
    """

    int16: bool | None = None
    per_tensor: bool | None = None
    effort: str | None = None
    symmetric: bool | None = None


NOTHING = OperatorSettings()


@dataclass(frozen=True, eq=False)
class Ask:
    """One thing that is asked for, by a rule or an option.

    Attributes:
        said: names and values of `OperatorSettings`.
        whom: in words, as it was given.
        places: of the operators that are named by index or output.
        kinds: of those that are named by type: place -> the type.
        pattern: whether they are named by a pattern, which means those only that can do what is asked.
    """

    said: Mapping[str, Any]
    whom: str
    places: frozenset[Place]
    kinds: Mapping[Place, str]
    pattern: bool = False

    def of(self, op: Op) -> Mapping[str, Any]:
        """What is said of an operator that is meant."""
        able = has_int16(op) and not traits_of(op.kind).effects
        return {n: v for n, v in self.said.items() if n != "int16" or not v or able or not self.pattern}

    def means(self, number: int, op: Op) -> bool:
        """Whether an operator of a prepared model is meant; `number` is that of its graph as it was read.

        What was folded into an operator of another type is not named by its own: --int16 ADD leaves a CONV_2D alone that
        an ADD became the bias of.
        """
        own = [(number, i) for i in op.origins]
        if not self.places.isdisjoint(own):
            return True
        return any(p in self.kinds and (op.kind == self.kinds[p] or len(own) == 1) for p in own)


@dataclass(frozen=True, eq=False)
class AskedFor:
    """What is asked for of the operators of a model as it was read.

    Attributes:
        asks: in order; later ones count more.
        keep: operators that stay float.
        symmetric_inputs: inputs of the model that get zero point 0.
        idle: types that rules name and the model does not have.
    """

    asks: tuple[Ask, ...]
    keep: tuple[Op, ...]
    symmetric_inputs: tuple[Tensor, ...] = ()
    idle: tuple[str, ...] = ()

    def settings(self, model: Model) -> dict[Place, dict[str, OperatorSettings]]:
        """The same for the operators of the prepared model, by place and type, at places where something is asked of one."""
        found: dict[Place, dict[str, OperatorSettings]] = {}
        for number, op in model.ops():
            said: dict[str, Any] = {}
            for ask in self.asks:
                said |= ask.of(op) if ask.means(model.graphs[number].origin, op) else {}
            own = found.setdefault((number, op.origin), {})
            own[op.kind] = replace(own.get(op.kind, NOTHING), **said)
        return {place: own for place, own in found.items() if any(s != NOTHING for s in own.values())}

    def without_effect(self, model: Model) -> list[str]:
        """What is asked for, and nothing in the prepared model does the work of alone, in words."""
        ops = [(model.graphs[number].origin, op) for number, op in model.ops()]
        return [ask.whom for ask in self.asks if not any(ask.means(number, op) for number, op in ops)]


def asked_for(model: Model, options: QuantizeOptions) -> AskedFor:
    """What rules and options ask for.

    Args:
        model: as it was read.
        options: with those of the recipe.

    Raises:
        UsageError: an item names no operator.
    """
    where = {op: (number, op.origin) for number, op in model.ops()}
    asks: list[Ask] = []
    keep: dict[Op, bool] = {}
    inputs: dict[Tensor, bool] = {}
    idle: list[str] = []
    for rule in options.rules:
        said = {name: v for name, v in rule.said().items() if name not in ("match", "ranges", "keep_float")}
        for item in rule.items:
            ops = operators_named(model, item)
            own = [t for graph in model.entries for t in graph.inputs if t.is_float and item == t.name]
            if not ops and not own and (item in ROWS or is_pattern(item)):
                idle.append(item)
            elif not ops and not own:
                raise UsageError(f'recipe: nothing matches "{item}": no index, type or output of a float operator, no input')
            if own and not ops and said.keys() - {"symmetric"}:
                raise UsageError(f'recipe: "{item}" is an input of the model, which only symmetric and ranges are for')
            keep |= dict.fromkeys(ops, False) if rule.int16 else {}
            able = [op for op in ops if not (is_pattern(item) and traits_of(op.kind).effects)]
            keep |= dict.fromkeys(able, rule.keep_float) if rule.keep_float is not None else {}
            inputs |= dict.fromkeys(own, rule.symmetric) if rule.symmetric is not None else {}
            asks += [_ask(said, f'recipe: "{item}"', item, ops, where)] if said and ops else []
    for item, ops in by_item(model, options.int16, "int16").items():
        keep |= dict.fromkeys(ops, False)
        asks.append(_ask({"int16": True}, f'int16: "{item}"', item, ops, where))
    keep |= {op: True for ops in by_item(model, options.keep_float, "keep_float").values() for op in ops}
    kept, centred = [op for op, v in keep.items() if v], [t for t, v in inputs.items() if v]
    return AskedFor(tuple(asks), tuple(kept), tuple(centred), tuple(dict.fromkeys(idle)))


def _ask(said: Mapping[str, Any], whom: str, item: str, ops: Sequence[Op], where: Mapping[Op, Place]) -> Ask:
    by_type = {op for op in ops if is_by_type(op, item)}
    places, pattern = frozenset(where[op] for op in ops if op not in by_type), is_pattern(item)
    stuck = [op for op in ops if traits_of(op.kind).effects] if said.get("int16") and not pattern else []
    if stuck:
        raise UsageError(
            f'int16: {stuck[0].kind} "{stuck[0].output_name}" passes on what others compute; name operators inside it'
        )
    return Ask(said, whom, places, {where[op]: op.kind for op in by_type}, pattern)


def to_keep(model: Model, options: QuantizeOptions) -> tuple[Op, ...]:
    """The operators that are asked to stay float, where the others may not be float yet.

    Raises:
        UsageError: an item names no operator.
    """
    rules = tuple(rule for rule in options.rules if rule.keep_float is not None or rule.int16)
    return asked_for(model, replace(options, recipe=Recipe(rules=rules), int16=None)).keep
