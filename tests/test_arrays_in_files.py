"""Damaged archives of samples: one clear error each, before memory is taken or a model is run."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import CORPUS
from test_samples import ONE, TWO, rows, taken

from fullint import demo, quantize
from fullint.calibration.samples import Reading, open_samples
from fullint.errors import SamplesError

DEMO = Path(demo.__file__).with_name("digits.tflite")
HUGE = 10**12


def npy(array: np.ndarray) -> bytes:
    f = io.BytesIO()
    np.save(f, array)
    return f.getvalue()


def with_header(text: str, data: bytes) -> bytes:
    """An array in NumPy's format whose header says what one likes."""
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode() + data


def said(shape: object, *, descr: object = "<f4", fortran: bool = False) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {fortran}, 'shape': {shape}, }}"


def archive(path: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as z:
        z.writestr("image.npy", data)
    return path


def patched(path: Path, offset: int, value: bytes, *, central: int | None = None) -> Path:
    """The archive with some bytes changed, in its local header and, if asked, at the same field of its directory."""
    data = bytearray(path.read_bytes())
    data[offset : offset + len(value)] = value
    if central is not None:
        at = data.index(b"PK\x01\x02") + central
        data[at : at + len(value)] = value
    path.write_bytes(data)
    return path


def crc_of_stored(path: Path) -> Path:
    """One byte of the data differs from what the checksum is of."""
    archive(path, npy(rows(3, 4, 2)), zipfile.ZIP_STORED)
    return patched(path, path.read_bytes().index(b"NUMPY") + 140, b"\x55")


def crc_of_compressed(path: Path) -> Path:
    archive(path, npy(rows(3, 4, 2)))
    return patched(path, 14, b"abcd", central=16)


def bad_deflate(path: Path) -> Path:
    archive(path, npy(rows(300, 4, 2)))
    data = path.read_bytes()
    return patched(path, data.index(b"image.npy") + 9 + 160, b"\xff" * 40)


DAMAGED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "checksum, stored": (crc_of_stored, "CRC"),
    "checksum, compressed": (crc_of_compressed, "CRC"),
    "deflate": (bad_deflate, "damaged|shape|CRC"),
    "encrypted": (lambda p: patched(archive(p, npy(rows(3, 4, 2))), 6, b"\x01", central=8), "encrypted"),
    "unknown method": (lambda p: patched(archive(p, npy(rows(3, 4, 2))), 8, b"\x63", central=10), "NumPy does not write"),
    "lzma": (lambda p: archive(p, npy(rows(3, 4, 2)), zipfile.ZIP_LZMA), "NumPy does not write"),
    "bzip2 bomb": (lambda p: archive(p, with_header(said((2**26, 1)), bytes(2**28)), zipfile.ZIP_BZIP2), "NumPy does not write"),
    "negative count": (lambda p: archive(p, with_header(said((-5, 4, 2)), bytes(160))), "shape"),
    "count beyond 64 bits": (lambda p: archive(p, with_header(said((2**63, 4, 2)), b"")), "are there"),
    "huge in Fortran order": (lambda p: archive(p, with_header(said((HUGE, 4, 2), fortran=True), b"")), "are there"),
    "fewer rows than said": (lambda p: archive(p, with_header(said((9, 4, 2)), bytes(32)), zipfile.ZIP_STORED), "are there"),
    "arrays of arrays": (lambda p: archive(p, with_header(said((3,), descr=[("f", "<f4", (4, 2))]), bytes(96))), "no number"),
    "complex": (lambda p: archive(p, npy(rows(3, 4, 2).astype(np.complex64))), "no number"),
    "header of no Python": (lambda p: archive(p, with_header("{'descr'", bytes(96))), "damaged"),
    "no array": (lambda p: archive(p, b"text"), "damaged"),
    "one row of a gigabyte": (lambda p: archive(p, with_header(said((1, 2**28)), bytes(2**30))), "has shape"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_archives(tmp_path: Path, name: str) -> None:
    make, why = DAMAGED[name]
    path = make(tmp_path / "s.npz")
    with pytest.raises(SamplesError, match=why) as caught:
        taken(path)
    assert str(path) in str(caught.value) or why == "has shape"


@pytest.mark.parametrize("data", [with_header(said((-5, 4, 2)), bytes(32)), with_header(said((HUGE, 4, 2)), b""), b"nonsense"])
def test_damaged_npy(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(SamplesError, match="not a readable"):
        taken(tmp_path / "a.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("form", ["npy", "stored", "compressed"])
def test_every_form_is_read_alike(tmp_path: Path, form: str, order: str) -> None:
    given = np.asarray(rows(5, 4, 2), order=order)  # type: ignore[call-overload]
    path = tmp_path / ("s.npy" if form == "npy" else "s.npz")
    if form == "npy":
        np.save(path, given)
    else:
        (np.savez if form == "stored" else np.savez_compressed)(path, image=given)
    for more in ({}, {"num_samples": 3}):
        got = np.concatenate([s[0] for s in taken(path, **more)])
        assert all((row == given).all(axis=(1, 2)).any() for row in got) and len(got) == more.get("num_samples", 5)


def test_a_wrong_checksum_is_seen_before_the_first_row(tmp_path: Path) -> None:
    """Of an array that is stored as it is; a compressed one is unpacked, which finds most damage by itself."""
    path = archive(tmp_path / "s.npz", npy(rows(30_000, 4, 2)), zipfile.ZIP_STORED)
    patched(path, 900_000, b"\x55")
    with pytest.raises(SamplesError, match="CRC"):
        next(iter(open_samples(path, ONE, Reading())))


def test_what_is_no_array_of_numbers_may_lie_beside(tmp_path: Path) -> None:
    """Names, records, what an archiver adds: looked at only where it is asked for."""
    names = np.array(["a.png", "b.png", "c.png"])
    np.savez(tmp_path / "s.npz", image=rows(3, 4, 2), files=names, objects=np.array([{}], dtype=object))
    with zipfile.ZipFile(tmp_path / "s.npz", "a") as z:
        z.writestr("README.txt", "text")
        z.writestr("__MACOSX/._image.npy", "no array")
        z.mkdir("folder") if hasattr(z, "mkdir") else z.writestr("folder/", "")
    for source in (tmp_path / "s.npz", f"{tmp_path}/s.npz:image"):
        assert len(taken(source)) == 3
    with pytest.raises(SamplesError, match="no number"):
        taken(f"{tmp_path}/s.npz:files")
    np.savez(tmp_path / "t.npz", pictures=rows(3, 4, 2), files=names)
    assert len(taken(tmp_path / "t.npz")) == 3


def test_numbers_in_the_newest_format(tmp_path: Path) -> None:
    """And whatever follows them in the file."""
    data = bytearray(npy(rows(3, 4, 2)))
    two = b"\x93NUMPY\x03\x00" + struct.pack("<I", len(data[10:128])) + bytes(data[10:])
    (tmp_path / "a.npy").write_bytes(two + b"more")
    np.testing.assert_array_equal(taken(tmp_path / "a.npy")[2][0][0], rows(3, 4, 2)[2])


def test_an_empty_array_is_no_sample(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", image=np.zeros((0, 4, 2), np.float32))
    with pytest.raises(SamplesError, match="no samples"):
        taken(tmp_path / "s.npz")


def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path) -> None:
    """An error, and not the end of the process."""
    path = tmp_path / "s.npy"
    np.save(path, rows(50_000, 4, 2))
    reading = iter(open_samples(path, ONE, Reading()))
    next(reading)
    with open(path, "r+b") as f:
        f.truncate(4096)
    with pytest.raises(SamplesError, match="truncated"):
        list(reading)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no list of open files")
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_open_only_while_it_is_read(tmp_path: Path, save: Callable[..., None]) -> None:
    """Nothing is left to the garbage collector, which warns of open files and closes them when it likes."""
    path = tmp_path / "s.npz"
    save(path, image=rows(3, 4, 2))

    def is_open() -> bool:
        return str(path) in {os.path.realpath(n) for n in Path("/proc/self/fd").iterdir()}

    found = open_samples(path, ONE, Reading())
    assert not is_open()
    reading = iter(found)
    next(reading)
    assert is_open() and len(list(reading)) == 2
    assert not is_open()


def test_labels_beside_samples_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "s.npz", image=rows(3, 4, 2), label=np.array([2, 0, 1]))
    found = open_samples(tmp_path / "s.npz", ONE, Reading(labels="label"))
    assert found.labels is not None and found.labels.tolist() == [2, 0, 1]


def test_rows_of_the_wrong_size_name_their_input(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", a=rows(3, 4), b=np.ones((3, 5), np.int32))
    with pytest.raises(SamplesError, match=r'input "b": has shape \[5\], the model expects \[1, 2\]'):
        taken(tmp_path / "s.npz", TWO)


@pytest.mark.skipif(not CORPUS, reason="no corpus")
@pytest.mark.parametrize("path", sorted(Path(str(CORPUS), "cases", "npz").glob("*")) if CORPUS else [], ids=lambda p: p.name)
def test_damaged_archives_of_the_corpus(path: Path) -> None:
    with pytest.raises(SamplesError) as caught:
        quantize(DEMO, path)
    assert "\n" not in str(caught.value)
