"""The first sample of a source, before the inputs of the model are known: a front end compares its model on it.

A source that can be read only once is left alone. What is wrong with samples is said when all are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.samples.arrays_in_files import NpyRows, open_npz
from fullint.calibration.samples.python_file import from_function
from fullint.calibration.samples.sources import parted
from fullint.errors import SamplesError
from fullint.model.ir import Array

FirstSample = dict[str, Array]
"""Arrays by input name, or by position: "0", "1"."""


def first_sample(source: Any) -> FirstSample:
    """The first sample of samples given as a path, arrays, a list or a function; empty where there is none to be had.

    What a function of the user raises is raised.
    """
    if isinstance(source, Iterator):
        return {}  # it could not be read again
    if callable(source):
        source = source()
        source = [next(iter(source), None)] if isinstance(source, Iterable) else None
    try:
        found = _first(source)
        named = found if isinstance(found, Mapping) else dict(enumerate(found if isinstance(found, list | tuple) else [found]))
        arrays = {str(n): np.asarray(v) for n, v in named.items() if v is not None}
    except (SamplesError, ValueError, TypeError, IndexError, StopIteration, OSError):
        return {}
    return {n: a for n, a in arrays.items() if a.dtype.kind in "fiub"}


def _first(source: Any) -> Any:
    if isinstance(source, str | Path):
        return _of_path(str(source))
    if isinstance(source, np.ndarray):
        return source[0]
    if isinstance(source, Mapping):
        return {n: v[0] for n, v in source.items()}
    return next(iter(source)) if source is not None else None


def _of_path(path: str) -> Any:
    where, name = parted(path)
    if where.suffix == ".py" and name is not None:
        return next(iter(from_function(where, name)()))
    if where.suffix == ".npy":
        return next(iter(NpyRows(where)))
    if where.suffix == ".npz":
        return {n: next(iter(rows)) for n, rows in open_npz(where).items() if name in (None, n)}
    return None
