"""Outputs that are no plain files, outputs that two runs want, and names that stand for no file."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fullint import demo
from fullint.errors import ModelFormatError, OutputExistsError, UsageError
from fullint.files import write_atomically
from fullint.model.tflite import read_model

DEMO = Path(demo.__file__).with_name("digits.tflite")


def cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "fullint", *map(str, arguments)], capture_output=True, text=True, timeout=60)


def test_a_device_is_written_to(tmp_path: Path) -> None:
    """And stays what it is."""
    null = tmp_path / "null"
    null.symlink_to(os.devnull)
    write_atomically(null, b"x")
    assert Path(os.devnull).is_char_device() and null.is_symlink()


def test_of_a_link_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_atomically(link, b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["real"]


@pytest.mark.parametrize("kind", ["FIFO", "folder", "socket"])
def test_what_is_no_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(str(path))
    before = path.stat().st_mode
    with pytest.raises(UsageError, match=f"it is a {kind}"):
        write_atomically(path, b"x")
    done = cli("quantize", DEMO, "-c", DEMO.with_name("calibration.npz"), "-o", path, "--force")
    assert done.returncode == 2 and f"it is a {kind}" in done.stderr
    assert path.stat().st_mode == before and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("links", [True, False])
def test_of_two_runs_one_wins(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "out"
    write_atomically(path, b"first", over=False)
    with pytest.raises(OutputExistsError, match="exists by now"):
        write_atomically(path, b"second", over=False)
    assert path.read_bytes() == b"first" and [*tmp_path.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_names_of_no_file(name: str) -> None:
    with pytest.raises(UsageError, match=r"empty|NUL"):
        read_model(name)
    with pytest.raises(UsageError, match=r"empty|NUL"):
        write_atomically(name, b"x")


@pytest.mark.parametrize("verb", ["audit", "inspect", "quantize"])
@pytest.mark.parametrize("what", ["empty", "FIFO"])
def test_inputs_that_are_no_files(tmp_path: Path, verb: str, what: str) -> None:
    """One sentence, and no waiting for somebody to write."""
    os.mkfifo(tmp_path / "fifo")
    more = ("--synthetic", "-o", tmp_path / "out") if verb == "quantize" else ()
    done = cli(verb, "" if what == "empty" else tmp_path / "fifo", *more)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert what in done.stderr


def test_a_long_name(tmp_path: Path) -> None:
    """As long as the file system takes, in bytes."""
    path = tmp_path / ("模" * 78 + ".tflite")
    write_atomically(path, b"x")
    assert path.read_bytes() == b"x"


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.touch()
    path.chmod(0o640)
    write_atomically(path, b"x")
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_system_without_modes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no modes here")

    monkeypatch.setattr(Path, "chmod", refuse)
    write_atomically(tmp_path / "out", b"x")
    assert (tmp_path / "out").read_bytes() == b"x"


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    done = cli("quantize", DEMO, "-c", DEMO.with_name("calibration.npz"), "-o", tmp_path / "a")
    assert done.returncode == 2 and "leads to itself" in done.stderr


PLACES = {
    "model": ("quantize", "BAD", "--synthetic", "-o", "o"),
    "samples": ("quantize", DEMO, "-c", "BAD", "-o", "o"),
    "labels": ("quantize", DEMO, "-c", DEMO.with_name("calibration.npz"), "--labels", "BAD", "-o", "o"),
    "recipe": ("quantize", DEMO, "-c", DEMO.with_name("calibration.npz"), "--recipe", "BAD", "-o", "o"),
    "repair": ("repair", "BAD", "-o", "o"),
    "compare": ("compare", DEMO, "BAD"),
    "log": ("readlog", "BAD"),
    "log's model": ("readlog", DEMO, "BAD"),
    "partition": ("partition", "BAD"),
    "benchmark": ("benchmark", "BAD"),
    "inputs": ("benchmark", DEMO, "--inputs", "BAD"),
    "raw values": ("benchmark", DEMO, "--input_layer_value_files=image:BAD"),
    "convert": ("convert", "BAD", "-o", "o"),
}


@pytest.mark.parametrize("bad", ["FIFO", "folder", "long", "missing"])
@pytest.mark.parametrize("place", PLACES)
def test_every_place_for_a_file_takes_files_alone(tmp_path: Path, place: str, bad: str) -> None:
    """One sentence each, at once; nothing is written."""
    names = {"FIFO": tmp_path / "fifo", "folder": tmp_path / "folder", "long": tmp_path / ("x" * 300), "missing": tmp_path / "no"}
    os.mkfifo(names["FIFO"])
    names["folder"].mkdir()
    given = [str(names[bad]).join(str(a).split("BAD")) if a != "o" else tmp_path / "o" for a in PLACES[place]]
    done = cli(*given)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert not (tmp_path / "o").exists()


def test_a_fifo_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelFormatError, match="it is a FIFO"):
        read_model(tmp_path / "fifo")
