"""Calibration files: what samples have shown of a network, to be quantized elsewhere.

    a.npz (model, samples A)  +  b.npz (model, samples B)   --merge-->   c.npz, as of A and then B

A file is a NumPy archive: a header (JSON) and, for each graph that is run, the arrays of its `EntryStats`.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fullint.calibration.clipping import METHODS
from fullint.calibration.collect import MeasuredVector, directions
from fullint.calibration.entry_stats import EntryStats, InputStats, Stretch, with_starts
from fullint.calibration.outermost import Outermost
from fullint.calibration.probes import Seen
from fullint.calibration.range_methods import MinMax, RangeMethod
from fullint.calibration.samples.numbering import Numbering
from fullint.calibration.samples.values_seen import Counted
from fullint.errors import FullintError, UsageError
from fullint.files import write_atomically
from fullint.model.ir import Array
from fullint.version import __version__

STATS_VERSION = 1
UNPACKED_BYTES = 4 * 2**30
"""Of what a file unpacks to."""
_HEADER = "header"


@dataclass(frozen=True, eq=False)
class CalibrationStats:
    """What samples have shown of a network.

    Attributes:
        entries: of each graph that is run.
        notes: how they were measured, where it is not as asked for; a file does not have them.
    """

    entries: tuple[EntryStats, ...]
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"CalibrationStats({self.count} samples)"

    @property
    def count(self) -> int:
        """How many samples there are, of all graphs."""
        return sum(e.count + len(e.held_runs) for e in self.entries)

    def folded(self) -> CalibrationStats:
        """The same with the samples that were held back among the others."""
        return CalibrationStats(tuple(e.folded() for e in self.entries))

    def merge(self, other: CalibrationStats) -> CalibrationStats:
        """What both have seen, as one run over the samples of this one and then of the other.

        Raises:
            UsageError: they are of different networks, or were measured differently.
        """
        if len(self.entries) != len(other.entries):
            raise UsageError("statistics of different networks cannot be merged")
        return CalibrationStats(tuple(a.merge(b) for a, b in zip(self.entries, other.entries, strict=True)))

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write them to a file, whole or not at all.

        Raises:
            OutputExistsError: it is there, and `force` is not set.
        """
        write_atomically(path, self.packed(), over=force)

    def packed(self) -> bytes:
        """The bytes of a file; the same for the same statistics."""
        arrays: dict[str, Array] = {}
        entries = [_put(e, f"{i}", arrays) for i, e in enumerate(self.entries)]
        header = {"version": STATS_VERSION, "fullint": __version__, "entries": entries}
        arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                member.compress_type = zipfile.ZIP_DEFLATED
                with archive.open(member, "w", force_zip64=True) as f:
                    np.lib.format.write_array(f, array, allow_pickle=False)
        return out.getvalue()


def read_stats(path: str | Path) -> CalibrationStats:
    """Read a calibration file.

    Raises:
        UsageError: it cannot be read, is damaged, or of another version.
    """
    try:
        file = io.BytesIO(Path(path).read_bytes())
        with zipfile.ZipFile(file) as archive:
            size = sum(i.file_size for i in archive.infolist())
        if size > UNPACKED_BYTES:
            raise UsageError(f"{path}: would unpack to {size / 1e9:.1f} GB; calibration files are smaller")
        with np.load(file, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
        if header["version"] != STATS_VERSION:
            raise UsageError(f"{path}: statistics of version {header['version']}; this fullint reads {STATS_VERSION}")
        return CalibrationStats(tuple(_got(entry, f"{i}", arrays) for i, entry in enumerate(header["entries"])))
    except FullintError:
        raise
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror or e}") from e
    except Exception as e:  # whatever zipfile, zlib, json and NumPy make of a damaged file
        raise UsageError(f"{path}: not a calibration file of fullint, or a damaged one; fullint calibrate makes them") from e


def _put(entry: EntryStats, at: str, arrays: dict[str, Array]) -> dict[str, Any]:
    """What the header says of an entry; its arrays are added."""
    found = entry.found
    said: dict[str, Any] = {
        "stretches": [[s.key, s.what.name, s.size, s.name] for s in entry.stretches],
        "measured": found is not None,
        "inputs": [_put_input(one, f"{at}/input{i}", arrays) for i, one in enumerate(entry.inputs)],
        "numbers": entry.numbers,
        "runs": None if entry.runs is None else entry.runs.stretches,
        "held_runs": entry.held_runs,
        "total": entry.total,
        "digest": entry.digest.hex(),
    }
    if found is None:
        return said
    arrays |= {f"{at}/low": found.ends.low, f"{at}/high": found.ends.high}
    for name, outermost in _outermost(found).items():
        arrays[f"{at}/{name}"] = outermost.sorted_keys()
        said[name] = outermost.count
    numbers = sorted(found.held)
    said["held"] = numbers
    none = np.empty((0, found.ends.low.size), np.float32)
    arrays[f"{at}/held"] = np.stack([found.held[n] for n in numbers]) if numbers else none
    said["methods"] = [_put_method(m, f"{at}/method{i}", arrays) for i, (_, _, m) in enumerate(found.methods)]
    said["held_methods"] = [_put_method(m, f"{at}/held_method{i}", arrays) for i, m in enumerate(found.held_methods)]
    return said


def _outermost(found: MeasuredVector) -> dict[str, Outermost]:
    return {"highest": found.highest, "lowest": found.lowest, "farthest": found.farthest}


def _put_method(method: RangeMethod, at: str, arrays: dict[str, Array]) -> list[Any]:
    own = method.arrays()
    arrays |= {f"{at}/{name}": array for name, array in own.items()}
    return [method.name, list(own)]


def _put_input(one: InputStats, at: str, arrays: dict[str, Array]) -> dict[str, Any]:
    arrays[f"{at}/numbers"] = np.array([n for n, _ in one.taken], np.int64)
    arrays[f"{at}/sizes"] = np.array([v.size for _, v in one.taken], np.int64)
    arrays[f"{at}/values"] = np.concatenate([np.empty(0, np.float32), *(v for _, v in one.taken)])
    said = {}
    for name, counted in (("seen", one.seen), ("held_seen", one.held_seen)):
        ends = [counted.low, counted.high] if counted.count else None
        said[name] = {"count": counted.count, "ends": ends, "whole": counted.whole, "codes": counted.codes is not None}
        if counted.codes is not None:
            arrays[f"{at}/{name}"] = counted.codes
    return said


def _got(said: Mapping[str, Any], at: str, arrays: Mapping[str, Array]) -> EntryStats:
    """An entry, of what `_put` has made; raises whatever does not fit together."""
    stretches = tuple(Stretch(str(key), Seen[what], int(size), str(name)) for key, what, size, name in said["stretches"])
    inputs = tuple(_got_input(one, f"{at}/input{i}", arrays) for i, one in enumerate(said["inputs"]))
    return EntryStats(
        stretches,
        _got_vector(said, at, arrays, stretches) if said["measured"] else None,
        inputs,
        tuple((int(a), int(b)) for a, b in said["numbers"]),
        None if said["runs"] is None else Numbering([(int(a), int(b)) for a, b in said["runs"]]),
        tuple(map(int, said["held_runs"])),
        int(said["total"]),
        bytes.fromhex(said["digest"]),
    )


def _got_vector(said: Mapping[str, Any], at: str, arrays: Mapping[str, Array], stretches: Sequence[Stretch]) -> MeasuredVector:
    ends = [(s.what, start, s.size) for start, s in with_starts(stretches)]
    values = [(start, start + size) for what, start, size in ends if what is Seen.VALUES]
    places, count = sum(size for what, _, size in ends if what is not Seen.VALUES), len(ends) - len(values)
    methods = [_got_method(m, f"{at}/method{i}", arrays) for i, m in enumerate(said["methods"])]
    held_methods = [_got_method(m, f"{at}/held_method{i}", arrays) for i, m in enumerate(said["held_methods"])]
    low, high, held = (arrays[f"{at}/{name}"] for name in ("low", "high", "held"))
    keys = {name: arrays[f"{at}/{name}"] for name in ("highest", "lowest", "farthest")}
    sizes = {"highest": places, "lowest": places, "farthest": count}
    fits = low.shape == high.shape == (places,) and held.shape == (len(said["held"]), places)
    fits &= all(keys[name].dtype == np.int64 and keys[name].shape[1:] == (sizes[name],) for name in keys)
    fits &= low.dtype == high.dtype == held.dtype == np.float32 and len(held_methods) in (0, len(methods))
    if not fits:
        raise ValueError("sizes do not go together")
    highest, lowest, farthest = (Outermost(keys[name], len(keys[name]), int(said[name])) for name in keys)
    return MeasuredVector(
        MinMax(low, high),
        [(start, stop, m) for (start, stop), m in zip(values, methods, strict=True)],
        highest,
        lowest,
        farthest,
        directions(ends),
        held={int(n): vector for n, vector in zip(said["held"], held, strict=True)},
        held_methods=held_methods,
    )


def _got_method(said: Sequence[Any], at: str, arrays: Mapping[str, Array]) -> RangeMethod:
    name, own = said
    return METHODS[name].of_arrays({key: arrays[f"{at}/{key}"] for key in own})


def _got_input(said: Mapping[str, Any], at: str, arrays: Mapping[str, Array]) -> InputStats:
    numbers, sizes, values = (arrays[f"{at}/{name}"] for name in ("numbers", "sizes", "values"))
    if values.dtype != np.float32 or int(sizes.sum()) != values.size or len(numbers) != len(sizes):
        raise ValueError("values of an input do not go together")
    taken = np.split(values, np.cumsum(sizes)[:-1]) if len(sizes) else []
    counted = {}
    for name in ("seen", "held_seen"):
        one = said[name]
        low, high = map(float, one["ends"] or (math.inf, -math.inf))
        counted[name] = Counted(
            int(one["count"]), low, high, bool(one["whole"]), arrays[f"{at}/{name}"] if one["codes"] else None
        )
    return InputStats(tuple(zip(numbers.tolist(), taken, strict=True)), **counted)
