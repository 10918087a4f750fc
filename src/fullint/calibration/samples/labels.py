"""The right class of each sample, from where the user has it.

--labels label              an array of the .npz that holds the samples (in Python also: of the dict)
--labels labels.npy         a file of its own: .npy, .npz with one array, or text with one number a line
--labels folders            images in one folder for each class; classes are numbered as the folders' names sort
labels=[3, 1, ...]          in Python: numbers, one for each sample
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.samples.arrays_in_files import FileRows, NpyRows, open_npz
from fullint.calibration.samples.images import ImageFolder
from fullint.errors import SamplesError
from fullint.model.ir import Array

FOLDERS = "folders"
MOST_LABEL = 1e9
MOST_LABEL_BYTES = 500_000_000
"""Of labels, all together; one-hot ones of a thousand classes take four thousand bytes each."""


def read_labels(given: Any, arrays: Mapping[str, Any] | None, images: ImageFolder | None) -> Array:
    """One class number per sample, int64 [samples].

    Args:
        given: as the user gave them; see above.
        arrays: the arrays beside the samples, by name, if they have names.
        images: the folder of images, if the samples are one.

    Raises:
        SamplesError: there are none by that name, or they are no class numbers.
    """
    if not isinstance(given, str | Path):
        return _classes(given, "labels")
    name = str(given)
    if arrays is not None and name in arrays:
        beside = arrays[name]
        return _classes(beside.whole(MOST_LABEL_BYTES) if isinstance(beside, FileRows) else beside, f'labels "{name}"')
    if images is not None and name == FOLDERS:
        return np.unique(images.classes(), return_inverse=True)[1].astype(np.int64)
    if not Path(name).is_file():
        known = f"the samples have {', '.join(arrays)}" if arrays else "there is no such file"
        raise SamplesError(f'--labels: no labels called "{name}": {known}')
    return _classes(_of_file(Path(name)), name)


def _of_file(path: Path) -> Any:
    if path.stat().st_size > MOST_LABEL_BYTES:
        raise SamplesError(f"{path}: not a file of labels: it has more than {MOST_LABEL_BYTES:,} bytes")
    if path.suffix == ".npy":
        return NpyRows(path).whole(MOST_LABEL_BYTES)
    if path.suffix == ".npz":
        columns = open_npz(path)
        if len(columns) != 1:
            raise SamplesError(f"{path}: has {len(columns)} arrays ({', '.join(columns)}); labels are one")
        return next(iter(columns.values())).whole(MOST_LABEL_BYTES)
    try:
        return [int(line) for line in path.read_text().split()]
    except (OSError, ValueError) as e:
        raise SamplesError(f"{path}: not a file of labels ({e})") from e


def _classes(given: Any, what: str) -> Array:
    try:
        values = np.asarray(given)
    except ValueError as e:
        raise SamplesError(f"{what}: cannot be made into an array ({e})") from e
    if not values.ndim or not values.size:
        raise SamplesError(f"{what}: not one class number per sample (shape {list(values.shape)}, type {values.dtype})")
    rows = values.reshape(len(values), -1)
    if rows.shape[1] > 1 and rows.dtype.kind in "fiub" and _one_hot(rows):
        rows = rows.argmax(axis=1)[:, None]
    whole = (
        rows.dtype.kind in "fiub"
        and bool((np.abs(rows.astype(np.float64)) < MOST_LABEL).all())
        and bool((rows == np.trunc(rows)).all())
    )
    if rows.shape[1] != 1 or not whole:
        raise SamplesError(f"{what}: not one class number per sample (shape {list(values.shape)}, type {values.dtype})")
    found: Array = rows[:, 0].astype(np.int64)
    return found


def _one_hot(rows: Array) -> bool:
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())
