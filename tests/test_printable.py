"""Names with terminal escapes, line breaks and bytes that are no UTF-8: shown escaped, written as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from repacked import repacked

import fullint
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder
from fullint.printable import escaped, one_line, shown, shown_json, unescaped

NAMES = {
    "conv/Relu;x:0": "conv/Relu;x:0",
    "Gewicht ä": "Gewicht ä",
    "a\x1b[2Jb": "a\\x1b[2Jb",
    "a\nb\tc\rd": "a\\nb\\tc\\rd",
    "a\\nb": "a\\\\nb",
    "a\u202eb": "a\\u202eb",
    "a\x85b": "a\\u0085b",
    "a\U000e0001b": "a\\U000e0001b",
    b"a\xff\xfe".decode(errors="surrogateescape"): "a\\xff\\xfe",
}


@pytest.mark.parametrize(("name", "text"), NAMES.items(), ids=NAMES.values())
def test_escapes(name: str, text: str) -> None:
    assert escaped(name) == text and unescaped(text) == name


@given(st.binary(max_size=30))
def test_every_name_comes_back(data: bytes) -> None:
    name = data.decode("utf-8", "surrogateescape")
    text = escaped(name)
    assert text.isprintable() and unescaped(text).encode("utf-8", "surrogateescape") == data
    assert one_line(text) == text


@given(st.text(max_size=30))
def test_json_stays_json(text: str) -> None:
    body = shown_json(json.dumps([text], ensure_ascii=False, indent=2))
    assert json.loads(body) == [text] and shown(body) == body
    body.encode()


HOSTILE = b"\x1b[2J\x1b]0;owned\x07\n\xff \xe2\x80\xae"


def named(data: bytes, name: bytes) -> bytes:
    """A model whose names are all hostile."""
    read = name.replace(b"\xff", b"")  # by LiteRT's Python package

    def change(root) -> None:
        root.description = name
        for signature in root.signatureDefs or []:
            signature.signatureKey = read
            for i, m in enumerate([*signature.inputs, *signature.outputs]):
                m.name = read + str(i).encode()
        for graph in root.subgraphs:
            graph.name = name
            for i, t in enumerate(graph.tensors):
                t.name = (read if i in [*graph.inputs, *graph.outputs] else name) + str(i).encode()

    return repacked(data, change)


@pytest.fixture
def model(g: Builder) -> bytes:
    x = g.conv(g.input(1, 8, 8, 3), 4, activation="RELU")
    g.output(g.op("SIN", x), g.dense(g.reshape(x, 1, -1), 3))
    return named(g.bytes("serve"), HOSTILE)


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "fullint", *arguments], cwd=folder, capture_output=True, timeout=60)


def test_no_command_shows_what_a_terminal_obeys(model: bytes, tmp_path: Path) -> None:
    """Reports, JSON, CSV, errors; names of files, too."""
    path = "m\x1b[2J.tflite"
    (tmp_path / path).write_bytes(model)
    np.savez(tmp_path / "s.npz", **{"x\x1b[2J": np.zeros((3, 2), np.float32)})
    runs = [
        ("inspect", path),
        ("inspect", path, "--json"),
        ("inspect", path, "--snippet", "c"),
        ("audit", path),
        ("audit", path, "--json"),
        ("partition", path),
        ("quantize", path, "--synthetic", "--plan"),
        ("quantize", path, "--synthetic", "--num-samples", "4", "-o", "out.tflite"),
        ("quantize", path, "--synthetic", "--num-samples", "4", "-o", "out2.tflite", "--json"),
        ("compare", path, "out.tflite", "--csv", "t.csv"),
        ("quantize", path, "-c", "s.npz", "-o", "no.tflite"),
        ("quantize", path, "-c", "nothing\x1b[2J.npz", "-o", "no.tflite", "--json"),
        ("repair", path, "-o", "no.tflite"),
        ("benchmark", path, "--num-runs", "1", "--min-secs", "0", "--warmup-min-secs", "0"),
        ("benchmark", path, "--num-runs", "1", "--min-secs", "0", "--warmup-min-secs", "0", "--log"),
    ]
    for arguments in runs:
        done = cli(tmp_path, *arguments)
        for said in (done.stdout, done.stderr):
            text = said.decode()  # all of it is UTF-8
            assert all(c.isprintable() or c in "\n\t" for c in text), (arguments, text[:2000])
        assert b"itself failed" not in done.stderr and b"Traceback" not in done.stderr, (arguments, done.stderr)
        assert done.returncode in (0, 1, 2)
        if "--json" in arguments:
            json.loads(done.stdout)
    assert all(c.isprintable() or c == "\n" for c in (tmp_path / "t.csv").read_text())


def test_names_are_written_as_they_were(model: bytes) -> None:
    """In what a command writes, too; and operators are told by the escaped form."""
    again = read_bytes(write_model(read_bytes(model)))
    assert [t.name for t in again.main.tensors] == [t.name for t in read_bytes(model).main.tensors]
    samples = [np.random.default_rng(i).normal(size=(1, 8, 8, 3)).astype(np.float32) for i in range(20)]
    sine = next(op for _, op in read_bytes(model).ops() if op.kind == "SIN").outputs[0].name
    assert sine.startswith("\\x1b[2J") and sine.isprintable()
    result = fullint.quantize(model, samples, keep_float=sine)
    assert [k.output for k in result.report.kept_float] == [sine]
    assert HOSTILE.replace(b"\xff", b"") + b"0" in result.model and b"\\x1b" not in result.model


def test_samples_by_the_name_in_the_file(g: Builder) -> None:
    g.output(g.op("RELU", g.input(1, 4)), g.op("RELU", g.input(1, 2)))
    data = named(g.bytes(), b"a\\b\n")
    names = ["a\\b\n0", "a\\b\n1"]
    assert [t.name for t in read_bytes(data).main.inputs] == ["a\\\\b\\n0", "a\\\\b\\n1"]
    samples = {names[1]: np.ones((20, 1, 2), np.float32), names[0]: np.ones((20, 1, 4), np.float32)}
    assert fullint.quantize(data, samples, strict_samples=False).report.status == "quantized"


def test_names_that_litert_cannot_read_are_said(g: Builder) -> None:
    g.output(g.op("RELU", g.input(1, 4)))
    data = repacked(g.bytes(), lambda root: setattr(root.subgraphs[0].tensors[0], "name", b"a\xff"))
    with pytest.raises(fullint.RuntimeFailure, match="is no UTF-8"):
        fullint.quantize(data, [np.ones((1, 4), np.float32)] * 20)


@pytest.mark.skipif(os.name != "posix", reason="a shell")
def test_a_pipe_that_closes_is_no_error(tmp_path: Path, g: Builder) -> None:
    x = g.input(1, 4)
    for _ in range(3000):
        x = g.op("RELU", x)
    g.output(x)
    (tmp_path / "m.tflite").write_bytes(g.bytes())
    command = f"set -o pipefail; {sys.executable} -m fullint inspect m.tflite | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.startswith("m.tflite")
