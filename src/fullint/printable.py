r"""Names from files in a form that can be shown: one line, nothing that a terminal obeys, nothing that is not Unicode.

    bytes in the file        in memory, in reports, on the command line
    conv/Relu                conv/Relu
    a ESC [2J b              a\x1b[2Jb
    a LINE FEED b            a\nb
    a 0xFF b                 a\xffb       (no UTF-8)
    a \ b                    a\\b

`escaped` is undone by `unescaped`, so that a name is written as it was read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

_SHORT = {"\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LONG = {text: c for c, text in _SHORT.items()}
_ESCAPE = re.compile(r"\\(?:[\\ntr]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
_RAW, _RAW_END = 0xDC80, 0xDCFF
"""Where Python's surrogateescape puts bytes that are no UTF-8."""
_UNSHOWN = re.compile(r"[^ -~\n]")


def escaped(name: str) -> str:
    """A name, decoded with surrogateescape, as one line of printable characters."""
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_escape, name))


def _escape(c: str) -> str:
    if c in _SHORT or c.isprintable():
        return _SHORT.get(c, c)
    number = ord(c)
    if _RAW <= number <= _RAW_END:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def unescaped(name: str) -> str:
    """What `escaped` made its text of."""
    return _ESCAPE.sub(lambda m: _unescape(m[0]), name) if "\\" in name else name


def _unescape(text: str) -> str:
    if text in _LONG:
        return _LONG[text]
    number = int(text[2:], 16)
    return chr(0xDC00 + number) if text[1] == "x" and number >= 0x80 else chr(number)


def shown(text: str) -> str:
    """A text of several lines without what a terminal would obey or could not print: paths, what other programs say."""
    return _UNSHOWN.sub(lambda m: m[0] if m[0].isprintable() else _escape(m[0]), text)


def shown_json(text: str) -> str:
    """A JSON document whose strings have as escapes what a terminal would obey or could not print."""
    return _UNSHOWN.sub(lambda m: m[0] if m[0].isprintable() else json.dumps(m[0])[1:-1], text)


def one_line(text: str) -> str:
    """The same as one line; unlike `escaped`, it leaves a backslash as it is, and so a name that is escaped already."""
    return shown(text).replace("\n", "\\n")


def finite(value: Any, instead: Callable[[float], Any]) -> Any:
    """Plain values with something instead of each infinity and NaN, which JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return instead(value)
    if isinstance(value, dict):
        return {k: finite(v, instead) for k, v in value.items()}
    return [finite(v, instead) for v in value] if isinstance(value, list | tuple) else value
