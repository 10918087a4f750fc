"""Recipes: the options of a run and rules for some of its operators, as a file to keep, compare and use again.

schema_version = 1

[options]                   # options of the call, by the same names
effort = "best"
target = "tflm"

[[rules]]                   # for the operators that match; of several rules, the last one that says something counts
match = ["block_1/*", "SOFTMAX", 12]
int16 = true
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from fullint.errors import UsageError
from fullint.options.of_ranges import parse_ranges
from fullint.options.toml_tables import of_table, parse_toml, read_toml, require_known

RECIPE_VERSION = 1
EFFORTS_OF_RULES = ("fast", "balanced")
LINE = 100
"""Characters of a list that is written on one line."""
KEYS = ("schema_version", "options", "rules")


@dataclass(frozen=True, kw_only=True)
class RecipeRule:
    """What some operators are to be made of; None where a rule does not say.

    Attributes:
        match: names of output tensors, types, custom codes or indices in the main graph; patterns with *, ? and [...].
        keep_float: whether they stay float.
        int16: whether they compute in int16, with int8 weights; false: nor where fullint would choose that by itself.
        per_tensor: whether their weights have one scale instead of one per output channel.
        ranges: the method that makes the ranges of their outputs, as `ranges` of the call.
        effort: balanced: weights are rounded for what the operator reads; fast: to the nearest codes.
        symmetric: whether their outputs, and the constants they read like activations, get zero point 0, as some accelerators
            want; inputs of the model can be named, too.
    """

    match: str | int | tuple[str | int, ...]
    keep_float: bool | None = None
    int16: bool | None = None
    per_tensor: bool | None = None
    ranges: str | None = None
    effort: str | None = None
    symmetric: bool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.match, list):
            object.__setattr__(self, "match", tuple(self.match))

    @property
    def items(self) -> tuple[str, ...]:
        """What it matches, each as text."""
        return tuple(map(str, self.match)) if isinstance(self.match, tuple) else (str(self.match),)

    def said(self) -> dict[str, Any]:
        """What it says, without what it does not."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in found.items() if v is not None}

    def check(self, where: str) -> None:
        """Raise UsageError where it makes no sense."""
        if not self.items or not all(self.items):
            raise UsageError(f"{where}: match names nothing")
        if self.keep_float and self.int16:
            raise UsageError(f"{where}: keep_float and int16 exclude each other")
        if self.effort is not None and self.effort not in EFFORTS_OF_RULES:
            raise UsageError(f'{where}: effort of a rule must be {" or ".join(EFFORTS_OF_RULES)}, not "{self.effort}"')
        if self.ranges is not None and any(c.of is not None for c in parse_ranges(self.ranges)):
            raise UsageError(f'{where}: ranges of a rule must be a method, not "{self.ranges}"; match says for what')
        if len(self.said()) < 2:
            raise UsageError(f"{where}: it says nothing but what it matches")


@dataclass(frozen=True)
class Recipe:
    """Options of a run, and rules for some of its operators.

    `print(recipe)` shows the TOML, `Recipe.read(path)` reads it.

    Attributes:
        options: by the names that `quantize` and `repair` have for them; options of the call with another value than their
            default count more.
        rules: in order; the last one that matches an operator, and says something, counts.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[RecipeRule, ...] = ()

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """The recipe in a file.

        Raises:
            UsageError: it is no recipe.
        """
        return cls.of_tables(read_toml(path), str(path))

    @classmethod
    def parse(cls, text: str) -> Recipe:
        """The recipe in a text.

        Raises:
            UsageError: it is no recipe.
        """
        return cls.of_tables(parse_toml(text, "recipe"), "recipe")

    @classmethod
    def of_tables(cls, tables: Mapping[str, Any], where: str) -> Recipe:
        """The recipe that TOML, or the JSON of a report, has as tables.

        Raises:
            UsageError: it is no recipe.
        """
        require_known(tables, KEYS, where)
        version = tables.get("schema_version", RECIPE_VERSION)
        if version != RECIPE_VERSION or isinstance(version, bool):
            raise UsageError(f"{where}: schema_version must be {RECIPE_VERSION}, not {version!r}")
        options, rules = tables.get("options", {}), tables.get("rules", ())
        if not isinstance(options, Mapping):
            raise UsageError(f"{where}: options must be a table, [options]")
        if not isinstance(rules, Sequence) or not all(isinstance(r, Mapping) for r in rules):
            raise UsageError(f"{where}: rules must be tables, each under [[rules]]")
        found = tuple(of_table(RecipeRule, rule, f"{where}, rule {i}") for i, rule in enumerate(rules, 1))
        for i, rule in enumerate(found, 1):
            rule.check(f"{where}, rule {i}")
        return cls(dict(options), found)

    def tables(self) -> dict[str, Any]:
        """The recipe as TOML and JSON have it."""
        found: dict[str, Any] = {"schema_version": RECIPE_VERSION}
        if self.options:
            found["options"] = {n: list(v) if isinstance(v, tuple) else v for n, v in self.options.items() if v is not None}
        if self.rules:
            found["rules"] = [rule.said() if isinstance(rule, RecipeRule) else rule for rule in self.rules]
        return found

    def __str__(self) -> str:
        import tomli_w

        return _SHORT_LIST.sub(_on_one_line, tomli_w.dumps(self.tables())).rstrip()


_SHORT_LIST = re.compile(r"\[\n((?: {4}[^\n]*,\n)+)\]")


def _on_one_line(found: re.Match[str]) -> str:
    items = " ".join(line.strip() for line in found[1].splitlines()).removesuffix(",")
    return f"[{items}]" if len(items) <= LINE else found[0]


RecipeSource = str | Path | Mapping[str, Any] | Recipe
"""A file, its tables, or the value."""


def recipe_of(given: RecipeSource | None) -> Recipe:
    """The recipe that was given; an empty one where none was.

    Raises:
        UsageError: it is no recipe.
    """
    if given is None or isinstance(given, Recipe):
        return Recipe.of_tables(given.tables(), "recipe") if given else Recipe()
    if isinstance(given, Mapping):
        return Recipe.of_tables(given, "recipe")
    if isinstance(given, str | Path):
        return Recipe.read(given)
    raise UsageError(f"recipe must be a path, a Recipe or its tables, not {type(given).__name__}")
