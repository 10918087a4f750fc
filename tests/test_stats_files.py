"""Calibration files: what samples have shown, put by, merged, and made ranges of elsewhere."""

from __future__ import annotations

import gc
import json
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_input_forms import floats_and_none, two_entries

import fullint
from fullint import CalibrationStats, read_stats
from fullint.calibration import stats_files
from fullint.calibration.input_values import InputValues
from fullint.calibration.value_keys import value_keys
from fullint.cli import main
from fullint.errors import SamplesError, UsageError
from fullint.model.ir import Model, Tensor
from fullint.model.ranges import Range
from fullint.model.subgraphs import copy_model
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder

NETWORKS = Path(__file__).with_name("networks")


def given(path: Path, count: int, seed: int = 0) -> list[list[np.ndarray]]:
    """Random samples for a model."""
    rng = np.random.default_rng(seed)
    inputs = read_bytes(path.read_bytes()).main.inputs
    return [[rng.normal(size=t.shape).astype(t.dtype) for t in inputs] for _ in range(count)]


def same(one: CalibrationStats, two: CalibrationStats) -> bool:
    """Whether two are equal bit for bit, but for what identifies their samples."""
    a, b = (CalibrationStats(tuple(replace(e, digest=b"") for e in s.entries)).packed() for s in (one, two))
    return a == b


@pytest.mark.parametrize("options", [{}, {"ranges": "percentile:99.9"}, {"activations": "int16"}, {"effort": "fast"}], ids=str)
@pytest.mark.parametrize("name", ["mobile", "lstm", "lstm_loop", "masked"])
def test_the_same_samples_give_the_bytes_of_the_direct_run(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path, samples = NETWORKS / f"{name}.tflite", given(NETWORKS / f"{name}.tflite", 32)
    fullint.calibrate(path, samples, **options).save(tmp_path / "s.npz")
    found, direct = (fullint.quantize(path, samples, stats=s, min_sqnr=-99, **options) for s in (tmp_path / "s.npz", None))
    assert found.model == direct.model
    assert found.report.samples == direct.report.samples
    assert found.report.certificate.sqnr_db == direct.report.certificate.sqnr_db


@pytest.mark.parametrize("far", [[17], [3, 20, 28]])
@pytest.mark.parametrize("drop", [True, False])
def test_outliers_are_found_in_a_file_as_in_samples(g: Builder, far: list[int], drop: bool) -> None:
    x = g.input(1, 8, 8, 2, name="x")
    y = g.conv(g.conv(x, filters=8, activation="RELU"), filters=4)
    g.output(g.reshape(y, 1, -1))
    samples = np.random.default_rng(0).normal(size=(40, 8, 8, 2)).astype(np.float32)
    few = samples[:32] * 0.9
    samples[far] *= 40
    stats = fullint.calibrate(g.bytes(), samples)
    direct, found, elsewhere = (
        fullint.quantize(g.bytes(), data, stats=s, drop_outliers=drop, min_sqnr=-99)
        for data, s in ((samples, None), (samples, stats), (few, stats))
    )
    assert found.model == direct.model
    assert [f.samples for f in found.report.sample_findings] == [f.samples for f in direct.report.sample_findings]
    assert [f.samples for f in elsewhere.report.sample_findings] == [tuple(far)]
    scale = float(read_bytes(elsewhere.model).main.inputs[0].quant.scale[0])
    assert (scale < 0.1) is drop


@pytest.mark.parametrize("options", [{}, {"ranges": "mse"}], ids=str)
@pytest.mark.parametrize("name", ["mobile", "masked", "lstm_loop"])
def test_files_of_shards_merge_to_that_of_all_samples(tmp_path: Path, name: str, options: dict[str, str]) -> None:
    """In whatever way they are cut, through files or not; where quantize holds some back of each, they count as well."""
    path, samples = NETWORKS / f"{name}.tflite", given(NETWORKS / f"{name}.tflite", 57)
    whole = fullint.calibrate(path, samples, **options)
    for cuts in ((20,), (3, 30)):
        parts = [samples[a:b] for a, b in zip((0, *cuts), (*cuts, None), strict=True)]
        files = []
        for number, part in enumerate(parts):
            files.append(tmp_path / f"{number}.npz")
            fullint.calibrate(path, part, **options).save(files[-1], force=True)
        merged = fullint.merge_stats(files)
        assert same(merged, whole.folded()) and not same(merged, whole)
        assert merged.count == whole.count == 57
    few = given(path, 24, seed=9)
    one, two = (fullint.quantize(path, few, stats=s, min_sqnr=-99, **options) for s in (merged, whole))
    assert one.model == two.model
    assert one.report.samples["calibrated"] == two.report.samples["calibrated"] == 57
    assert fullint.quantize(path, few, min_sqnr=-99, **options).model != one.model


def test_several_signatures(tmp_path: Path) -> None:
    data = two_entries()
    rng = np.random.default_rng(0)
    inputs = {e: read_bytes(data).signatures[i].graph.inputs for i, e in enumerate(("encode", "decode"))}
    samples = {e: [[rng.normal(size=t.shape).astype(np.float32) for t in ts] for _ in range(30)] for e, ts in inputs.items()}
    stats = fullint.calibrate(data, samples)
    assert fullint.quantize(data, samples, stats=stats).model == fullint.quantize(data, samples).model
    halves = [fullint.calibrate(data, {e: s[part] for e, s in samples.items()}) for part in (slice(13), slice(13, None))]
    assert same(fullint.merge_stats(halves), stats.folded())


def test_values_of_inputs_are_those_of_the_direct_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each signature, those that calibrated alone, where the samples are those of the file."""
    data, shown = two_entries(), list[dict[str, bytes]]()
    rng = np.random.default_rng(0)
    inputs = {s.key: s.graph.inputs for s in read_bytes(data).signatures}
    samples = {str(k): [[rng.normal(size=t.shape).astype(np.float32) for t in ts] for _ in range(30)] for k, ts in inputs.items()}

    def clipped(self: InputValues, t: Tensor, span: Range) -> Range:
        shown[-1][t.name] = np.concatenate([values for _, values in self.values[t]]).tobytes()
        return span

    monkeypatch.setattr(InputValues, "clipped", clipped)
    stats = fullint.calibrate(data, samples)
    for given in (None, stats):
        shown.append({})
        fullint.quantize(data, samples, stats=given)
    assert shown[0] == shown[1] and {name: len(values) for name, values in shown[0].items()} == {"x": 26 * 32, "h": 26 * 16}


def test_a_signature_without_anything_to_be_measured() -> None:
    """Its samples show nothing, and are not missed."""
    data = floats_and_none()
    rng = np.random.default_rng(0)
    samples = {
        "one": [[rng.normal(size=(1, 8)).astype(np.float32)] for _ in range(24)],
        "two": [[np.full((1, 4), i, np.int32)] for i in range(24)],
    }
    stats = fullint.calibrate(data, samples)
    assert [e.found is None for e in stats.entries] == [False, True]
    assert fullint.quantize(data, samples, stats=stats).model == fullint.quantize(data, samples).model
    assert same(fullint.merge_stats([stats, stats]), fullint.merge_stats([stats.folded(), stats]))


def exported_anew(model: Model, seed: int) -> Model:
    """The same network with other names, buffers and order of its operators, where nothing hinders it."""
    rng = np.random.default_rng(seed)
    new, _ = copy_model(read_bytes(write_model(model)))
    for graph in new.graphs:
        for t in graph.tensors:
            t.name = f"renamed_{int(rng.integers(10**9))}"
        waiting, done, order = [*graph.ops], {*graph.inputs}, []
        while waiting:
            able = [
                op for op in waiting if all(t is None or t.buffer is not None or t.is_variable or t in done for t in op.inputs)
            ]
            op = able[int(rng.integers(len(able)))]
            waiting.remove(op)
            order.append(op)
            done |= {*op.outputs}
        graph.ops = order
        graph.tensors = [graph.tensors[i] for i in rng.permutation(len(graph.tensors))]
    return read_bytes(write_model(new))


@pytest.mark.parametrize("name", sorted(p.stem for p in NETWORKS.glob("*.tflite")))
def test_keys_survive_a_new_export(name: str) -> None:
    model = read_bytes((NETWORKS / f"{name}.tflite").read_bytes())
    other = exported_anew(model, 1)
    one, two = value_keys(model), value_keys(other)
    assert [t.name for t in one] != [t.name for t in two]
    assert sorted(one.values()) == sorted(two.values())
    assert [one[t] for t in model.main.outputs] == [two[t] for t in other.main.outputs]


def test_a_file_fits_the_same_network_exported_anew(tmp_path: Path) -> None:
    path, samples = NETWORKS / "residual.tflite", given(NETWORKS / "residual.tflite", 32)
    other = write_model(exported_anew(read_bytes(path.read_bytes()), 2))
    stats = fullint.calibrate(path, samples)
    assert fullint.quantize(other, samples, stats=stats).model == fullint.quantize(other, samples).model


def chain(g: Builder, weight: float = 1.0, size: int = 4) -> bytes:
    x = g.input(1, 6, 6, 2, name="x")
    first = g.conv(x, filters=size, activation="RELU")
    second = g.conv(first, filters=4)
    w = g.graph.ops[1].inputs[1]
    assert w is not None and w.buffer is not None
    second.name = "second"
    values = w.array.copy()
    values.flat[0] += weight - 1.0
    w.buffer = g.const(values).buffer
    third = g.conv(second, filters=3)
    third.name = "third"
    return bytes(g.bytes() if g.output(third) is None else b"")


def test_the_first_value_that_does_not_fit_is_named() -> None:
    samples = np.random.default_rng(0).normal(size=(24, 6, 6, 2)).astype(np.float32)
    stats = fullint.calibrate(chain(Builder()), samples)
    assert fullint.quantize(chain(Builder()), samples, stats=stats).report.float_operators == 0
    with pytest.raises(UsageError, match=r'there is nothing of "second", which CONV_2D 1 makes, and so of the values behind it'):
        fullint.quantize(chain(Builder(), 1.5), samples, stats=stats)
    with pytest.raises(UsageError, match=r"different networks|nothing of"):
        fullint.merge_stats([stats, fullint.calibrate(chain(Builder(), 1.5), samples)])
    with pytest.raises(UsageError, match="two calibration files or more"):
        fullint.merge_stats([stats])


def test_other_options_than_the_file_was_made_with() -> None:
    path = NETWORKS / "residual.tflite"
    samples = given(path, 24)
    plain, percentile = fullint.calibrate(path, samples), fullint.calibrate(path, samples, ranges="percentile:99.9")
    with pytest.raises(UsageError, match="there is nothing of"):
        fullint.quantize(path, samples, stats=plain, ranges="percentile:99.9")
    with pytest.raises(UsageError, match=r"measured for percentile:99\.9, not for percentile:99\.5"):
        fullint.quantize(path, samples, stats=percentile, ranges="percentile:99.5")
    assert fullint.quantize(path, samples, stats=percentile).model == fullint.quantize(path, samples).model
    best = fullint.quantize(path, samples, stats=plain, effort="best")
    assert any("other ranges are not tried" in w for w in best.report.warnings)
    with pytest.raises(UsageError, match="stats or synthetic"):
        fullint.quantize(path, stats=plain, synthetic=True)


def test_without_samples_it_is_said_what_is_missing() -> None:
    path = NETWORKS / "residual.tflite"
    stats = fullint.calibrate(path, given(path, 24))
    result = fullint.quantize(path, stats=stats)
    assert result.report.float_operators == 0 and result.report.certificate.drawn
    assert result.report.options["effort"] == "fast" and result.report.samples["calibrated"] == 24
    assert any(w.startswith("uncertified") and "-c DATA" in w for w in result.report.warnings)
    again = fullint.quantize(path, stats=stats, min_sqnr=90)
    assert again.model == result.model  # it is not judged


def test_samples_must_be_finite_all_over(g: Builder) -> None:
    """Those that are held back make ranges elsewhere."""
    x = g.input(1, 4, name="x")
    g.output(g.dense(g.op("EXP", x), 3))
    samples = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    held = sorted(run for run, _ in enumerate(samples) if run in held_back(g, samples))
    samples[held[0]] = 200.0
    with pytest.raises(SamplesError, match=f"sample {held[0]} drives a value"):
        fullint.calibrate(g.bytes(), samples)


def held_back(g: Builder, samples: np.ndarray) -> tuple[int, ...]:
    return fullint.calibrate(g.bytes(), samples).entries[0].held_runs


def edited(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    with zipfile.ZipFile(path) as z:
        members = {n: z.read(n) for n in z.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as z:
        for name, data in members.items():
            z.writestr(name, data)


def header(members: dict[str, bytes], **more: object) -> None:
    data = members["header.npy"]
    at = data.index(b"\n") + 1
    said = {**json.loads(data[at:]), **more}
    text = np.frombuffer(json.dumps(said).encode(), np.uint8)
    start = data[:at].replace(f"({len(data) - at},)".encode(), f"({text.size},)".encode())
    members["header.npy"] = start[: at - 1].ljust(at - 1)[: at - 1] + b"\n" + text.tobytes()


@pytest.mark.parametrize("damage", ["cut", "text", "member", "version", "empty", "short", "flipped"])
def test_damaged_files_are_one_clear_error(tmp_path: Path, damage: str) -> None:
    path, file = NETWORKS / "residual.tflite", tmp_path / "s.npz"
    fullint.calibrate(path, given(path, 6)).save(file)
    data = file.read_bytes()
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        file.write_text("no archive")
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "flipped":
        file.write_bytes(data[:400] + bytes(b ^ 255 for b in data[400:440]) + data[440:])
    elif damage == "member":
        edited(file, lambda m: m.pop("0/low.npy"))
    elif damage == "short":
        edited(file, lambda m: m.update({"0/low.npy": m["0/farthest.npy"]}))
    else:
        edited(file, lambda m: header(m, version=999))
    with pytest.raises(UsageError, match="version 999; this fullint reads" if damage == "version" else "not a calibration file"):
        read_stats(file)
    with pytest.raises(UsageError):
        fullint.quantize(path, given(path, 6), stats=file)


def refusal(path: Path) -> str:
    """Why a file is refused; nobody leaves it open."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        with pytest.raises(UsageError) as e:
            read_stats(path)
        gc.collect()
    assert not caught and str(e.value).startswith(f"{path}: ") and "\n" not in str(e.value)
    return str(e.value).removeprefix(f"{path}: ")


def saved(path: Path) -> bytes:
    fullint.calibrate(NETWORKS / "residual.tflite", given(NETWORKS / "residual.tflite", 3)).save(path)
    return path.read_bytes()


def test_a_file_of_which_a_part_is_missing_is_refused(tmp_path: Path) -> None:
    data = saved(tmp_path / "file")
    for size in (*range(1, 40, 3), len(data) // 3, len(data) // 2, len(data) - 1):
        (tmp_path / "file").write_bytes(data[:size])
        assert refusal(tmp_path / "file").startswith("not a calibration file of fullint, or a damaged one")


@pytest.mark.parametrize("place", [6, 8])
def test_a_file_whose_directory_is_wrong_is_refused(tmp_path: Path, place: int) -> None:
    """The version that an entry needs to be read, and the flag that says it is encrypted."""
    data = saved(tmp_path / "file")
    entry = data.index(b"PK\x01\x02") + place
    (tmp_path / "file").write_bytes(data[:entry] + bytes([data[entry] ^ 0xFF]) + data[entry + 1 :])
    assert refusal(tmp_path / "file").startswith("not a calibration file of fullint, or a damaged one")


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == "cannot be read: No such file or directory"
    assert refusal(tmp_path) == "cannot be read: Is a directory"
    np.save(tmp_path / "file.npy", np.zeros(3))
    assert refusal(tmp_path / "file.npy").startswith("not a calibration file")
    np.savez(tmp_path / "file.npz", np.zeros(3))
    assert refusal(tmp_path / "file.npz").startswith("not a calibration file")
    with pytest.raises(UsageError, match="cannot be written"):
        CalibrationStats(()).save(tmp_path / "none" / "file")


def test_a_file_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = NETWORKS / "residual.tflite"
    fullint.calibrate(path, given(path, 6)).save(tmp_path / "s.npz")
    monkeypatch.setattr(stats_files, "UNPACKED_BYTES", 1000)
    with pytest.raises(UsageError, match="would unpack to"):
        read_stats(tmp_path / "s.npz")


def test_files_are_the_same_bytes_again(tmp_path: Path) -> None:
    path = NETWORKS / "masked.tflite"
    one, two = (fullint.calibrate(path, given(path, 24), threads=n) for n in (1, 2))
    assert one.packed() == two.packed()
    one.save(tmp_path / "s.npz")
    assert read_stats(tmp_path / "s.npz").packed() == one.packed()
    assert repr(one) == "CalibrationStats(24 samples)"


def test_the_command(tmp_path: Path) -> None:
    path, runner = str(NETWORKS / "residual.tflite"), CliRunner()
    samples = np.concatenate([s[0] for s in given(Path(path), 30)])
    np.save(tmp_path / "a.npy", samples[:20])
    np.save(tmp_path / "b.npy", samples[20:])
    files = [str(tmp_path / f"{n}.npz") for n in "abc"]
    for data, file in zip("ab", files, strict=False):
        done = runner.invoke(main, ["calibrate", path, "-c", str(tmp_path / f"{data}.npy"), "-o", file, "--json"])
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        assert (said["file"], said["schema_version"]) == (file, 1) and said["bytes"] == Path(file).stat().st_size
    done = runner.invoke(main, ["calibrate", "--merge", *files[:2], "-o", files[2]])
    assert done.exit_code == 0 and "30 samples" in done.stdout
    out = str(tmp_path / "out.tflite")
    done = runner.invoke(main, ["quantize", path, "--stats", files[2], "-c", str(tmp_path / "a.npy"), "-o", out])
    assert done.exit_code == 0, done.output
    direct = fullint.quantize(path, samples[:20], stats=fullint.merge_stats(files[:2])).model
    assert Path(out).read_bytes() == direct


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "what is to be calibrated"),
        (["{model}", "-o", "{out}"], "give them with -c DATA"),
        (["{model}", "-c", "{data}"], "give -o FILE"),
        (["{model}", "{model}", "-c", "{data}", "-o", "{out}"], "put together with --merge"),
        (["--merge", "{data}", "{data}", "-o", "{out}"], "not a calibration file"),
        (["--merge", "{data}", "-o", "{out}"], "two calibration files"),
        (["--merge", "{data}", "{data}", "-c", "{data}", "-o", "{out}"], "leave -c out"),
        (["{model}", "-c", "{data}", "-o", "{data}"], "--force overwrites it"),
    ],
)
def test_bad_use_of_the_command(tmp_path: Path, words: list[str], said: str) -> None:
    path = NETWORKS / "residual.tflite"
    np.save(tmp_path / "d.npy", given(path, 3)[0][0])
    names = {"{model}": str(path), "{data}": str(tmp_path / "d.npy"), "{out}": str(tmp_path / "o.npz")}
    done = CliRunner().invoke(main, ["calibrate", *(names.get(w, w) for w in words)])
    assert done.exit_code == 2 and said in done.output
    assert not (tmp_path / "o.npz").exists()
