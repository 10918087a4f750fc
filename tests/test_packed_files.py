"""Labels packed behind a model, as TFLite Metadata does it."""

import io
import zipfile

import pytest
from half import Half

from fullint import quantize, repair
from fullint.errors import ModelFormatError
from fullint.model.tflite import packed_files as module
from fullint.model.tflite import read_bytes
from fullint.model.tflite.packed_files import PackedFiles, packed_files
from fullint.ops.builder import Builder, samples_like


def with_labels(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
        archive.writestr("vocab.txt", "a b c")
    return out.getvalue()


def labels(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return [(name, archive.read(name)) for name in archive.namelist()]


EXPECTED = [("labels.txt", b"cat\ndog\n"), ("vocab.txt", b"a b c")]


def test_quantize_keeps_them(g: Builder) -> None:
    g.output(g.conv(g.input(1, 6, 6, 2)))
    data = with_labels(g.bytes())
    result = quantize(data, samples_like(read_bytes(data), 12))
    assert labels(result.model) == EXPECTED
    assert read_bytes(result.model).main.inputs[0].dtype == "int8"


def test_repair_keeps_them() -> None:
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 2)))
    assert labels(repair(with_labels(g.bytes())).model) == EXPECTED


def test_a_model_without_any(g: Builder) -> None:
    g.output(g.conv(g.input(1, 6, 6, 2)))
    assert packed_files(g.bytes()) == PackedFiles()


@pytest.mark.parametrize("cut", [1, 10, 60, 100])
def test_a_cut_archive_is_left_out(g: Builder, cut: int) -> None:
    g.output(g.conv(g.input(1, 6, 6, 2)))
    assert packed_files(with_labels(g.bytes())[:-cut]).members == ()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_can_be_read_of_a_damaged_archive_is_kept(g: Builder, method: int) -> None:
    """One member damaged, the other kept, and said so."""
    g.output(g.conv(g.input(1, 6, 6, 2)))
    out = io.BytesIO(g.bytes())
    with zipfile.ZipFile(out, "a", method) as archive:
        archive.writestr("bad.txt", "abc" * 100)
        archive.writestr("labels.txt", "cat\ndog\n")
    data = bytearray(out.getvalue())
    at = data.index(b"bad.txt", len(g.bytes())) + len(b"bad.txt")
    data[at + 4] ^= 0xFF
    found = packed_files(bytes(data))
    assert [i.filename for i, _ in found.members] == ["labels.txt"]
    assert '"bad.txt"' in found.unreadable
    result = quantize(bytes(data), samples_like(read_bytes(bytes(data)), 12))
    assert any("bad.txt" in w for w in result.report.warnings)
    assert labels(result.model) == [("labels.txt", b"cat\ndog\n")]


def test_an_unreadable_directory_is_said(g: Builder) -> None:
    g.output(g.conv(g.input(1, 6, 6, 2)))
    data = bytearray(with_labels(g.bytes()))
    data[data.index(b"PK\x01\x02")] ^= 0xFF
    assert packed_files(bytes(data)).unreadable.startswith("the archive behind the model cannot be read")


def test_a_bomb_is_refused(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    g.output(g.conv(g.input(1, 6, 6, 2)))
    with pytest.raises(ModelFormatError, match="unpack to more than"):
        packed_files(with_labels(g.bytes()))
