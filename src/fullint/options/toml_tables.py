"""Files that users write in TOML, read into dataclasses: unknown keys and values of the wrong type are errors that say where.

[[rules]]
match = "conv*"            ==of_table(Rule)==>            Rule(match="conv*", int16=True)
int16 = true
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from fullint.errors import UsageError
from fullint.files import check_name, unreadable

MOST_TOML_BYTES = 4_000_000
"""Of a file; what people write is a thousandth of that."""
Made = TypeVar("Made")
_WORDS = {bool: "true or false", int: "a whole number", str: "text", tuple: "a list", type(None): "nothing"}


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        UsageError: there is no such file, or it is not TOML.
    """
    check_name(path)
    if (why := unreadable(path)) is not None:
        raise UsageError(why)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_TOML_BYTES + 1)
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror or e}") from e
    if len(data) > MOST_TOML_BYTES:
        raise UsageError(f"{path}: larger than {MOST_TOML_BYTES} bytes: no recipe is that large")
    try:
        return parse_toml(data.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: not UTF-8, as TOML has to be") from e


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The tables of a text; `where` is what an error calls it.

    Raises:
        UsageError: it is not TOML.
    """
    import tomli  # not needed by most calls

    try:
        return tomli.loads(text)
    except (tomli.TOMLDecodeError, RecursionError) as e:
        raise UsageError(f"{where}: not TOML: {e}") from e


def of_table(kind: type[Made], table: Mapping[str, Any], where: str) -> Made:
    """A dataclass whose fields are the keys of a table; lists become tuples.

    Args:
        kind: the dataclass.
        table: as a file, or JSON, has it.
        where: what an error calls it, such as 'recipe.toml, rule 2'.

    Raises:
        UsageError: a key is unknown or missing, or a value has another type.
    """
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    require_known(table, known, where)
    found = {}
    for name, value in table.items():
        value = tuple(value) if isinstance(value, list) else value
        if not _fits(value, hints[name]):
            raise UsageError(f"{where}: {name} must be {_in_words(hints[name])}, not {value!r}")
        found[name] = value
    try:
        return kind(**found)
    except TypeError as e:  # a field without a default is missing
        missing = [name for name in known if name not in found and f"'{name}'" in str(e)]
        raise UsageError(f"{where}: {', '.join(missing)} is missing") from e


def require_known(table: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise UsageError where a table has a key that means nothing, with the one that was probably meant."""
    names = [*known]
    for key in table:
        if key not in names:
            import difflib  # not needed where all is right

            near = difflib.get_close_matches(str(key), names, 1, 0.6)
            meant = f'; did you mean "{near[0]}"?' if near else f"; known are {', '.join(names)}"
            raise UsageError(f'{where}: there is no "{key}"{meant}')


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and all(_fits(v, get_args(hint)[0]) for v in value)
    return isinstance(value, hint) and not (hint is int and isinstance(value, bool))


def _in_words(hint: Any) -> str:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_in_words(one) for one in get_args(hint) if one is not type(None))
    if origin is tuple:
        return f"a list of {_in_words(get_args(hint)[0])}"
    return _WORDS.get(hint, str(hint))
