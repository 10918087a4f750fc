"""Samples from a function of a Python file, which may import what lies beside it.

rep.py:gen     =>     import of rep.py with its folder on the path, then gen(), read as it yields
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from fullint.errors import SamplesError

_END = object()


def from_function(file: Path, name: str) -> Callable[[], Iterable[Any]]:
    """The function, to be called for its samples.

    Raises:
        SamplesError: there is no such file or function, or the file cannot be imported; later, whatever the function raises.
    """
    if not file.exists():
        raise SamplesError(f"{file}: no such file")
    folder = str(file.parent.absolute())
    function = getattr(_imported(file, folder), name, None)
    if not callable(function):
        raise SamplesError(f"{file}: has no function {name}")

    def run() -> Iterator[Any]:
        try:
            with _beside(folder):
                items = iter(function())
            while True:
                with _beside(folder):
                    item = next(items, _END)
                if item is _END:
                    return
                yield item
        except (Exception, SystemExit) as e:
            raise SamplesError(f"{file}:{name} failed ({type(e).__name__}: {e})") from e

    return run


def _imported(file: Path, folder: str) -> Any:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(file.stem, module)
    try:
        with _beside(folder):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as e:
        raise SamplesError(f"{file}: cannot be imported ({type(e).__name__}: {e})") from e
    return module


@contextlib.contextmanager
def _beside(folder: str) -> Iterator[None]:
    """While code of the user's file runs: its folder is where imports look first, and its prints go to standard error."""
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed the path itself
            sys.path.remove(folder)
