"""Front ends without their frameworks: what a path is, environments, and a converter's file put in order and compared.

The converter here is a stand-in, a script that writes what a test tells it to; the real ones are in `frontend_tests`.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from conftest import run

from fullint import quantize
from fullint.calibration.samples.first import first_sample
from fullint.cli import main
from fullint.errors import ConversionError, ModelFormatError, SetupError, UsageError
from fullint.frontends import conversion as conversion_module
from fullint.frontends import environments, formats, kept
from fullint.frontends.environments import Environment
from fullint.frontends.formats import FRAMEWORKS, Framework, framework_of, split
from fullint.frontends.report import Conversion
from fullint.frontends.workers.worker_protocol import Refused, called, drawn, given, sentence
from fullint.model.ir import NUMPY_TYPES, twin
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environments.VARIABLE, str(tmp_path / "environments"))


# --- what a path is


@pytest.mark.parametrize(
    ("name", "framework"),
    [("m.keras", "keras"), ("m.h5", "keras"), ("M.HDF5", "keras"), ("m.onnx", "onnx"), ("m.pt2", "torch"), ("m.tflite", None)],
)
def test_suffixes(name: str, framework: str | None) -> None:
    found = framework_of(name)
    assert (found and found.name) == framework


def test_a_tflite_is_one_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(network())
    assert framework_of(path) is None
    with pytest.raises(ModelFormatError, match="already"):
        conversion_module.convert(path)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a SavedModel"):
        framework_of(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert framework_of(tmp_path) is FRAMEWORKS["keras"]


@pytest.mark.parametrize(
    ("text", "framework"),
    [
        ("import tensorflow as tf\ndef make(): ...\n", "keras"),
        ("def make():\n    from keras import layers\n", "keras"),
        ("from torch import nn\ndef make(): ...\n", "torch"),
    ],
)
def test_python_files_by_their_imports(tmp_path: Path, text: str, framework: str) -> None:
    path = tmp_path / "model.py"
    path.write_text(text)
    assert framework_of(f"{path}:make") is FRAMEWORKS[framework]
    assert split(f"{path}:make") == (str(path), "make")


@pytest.mark.parametrize(
    ("text", "name", "says"),
    [
        ("import torch, keras\ndef make(): ...\n", "m.py:make", "several frameworks"),
        ("def make(): ...\n", "m.py:make", "no framework"),
        ("def make(:\n", "m.py:make", "not valid Python"),
        ("import torch\ndef make(): ...\n", "m.py", "give the function"),
        ("", "missing.py:make", "cannot be read"),
        ("", "weights.pth", "torch.export.save"),
        ("", "graph.pb", "saved_model.pb"),
    ],
)
def test_what_no_front_end_takes_is_said(tmp_path: Path, text: str, name: str, says: str) -> None:
    (tmp_path / "m.py").write_text(text)
    with pytest.raises(UsageError, match=says):
        framework_of(str(tmp_path / name))


def test_frameworks_that_contradict() -> None:
    with pytest.raises(UsageError, match="is a model of ONNX, not of PyTorch"):
        framework_of("m.onnx", "torch")
    with pytest.raises(UsageError, match="framework must be"):
        framework_of("m.onnx", "jax")
    assert framework_of("m.py:make", "torch") is FRAMEWORKS["torch"]


# --- environments


def test_what_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "here", lambda f: False)
    with pytest.raises(UsageError, match="`fullint setup torch`"):
        environments.find(FRAMEWORKS["torch"])


def test_the_users_own_environment_does_where_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "here", lambda f: True)
    assert environments.find(FRAMEWORKS["torch"]).python == sys.executable


def test_here_asks_for_every_module() -> None:
    assert formats.here(stand_in(("json", "numpy")))
    assert not formats.here(stand_in(("json", "no_such_module_anywhere")))


@pytest.mark.slow
def test_an_environment_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = Framework("keras", "Keras", "a tool", "w.py", ("json",), (str(tmp_path / "no-such-package"),))
    monkeypatch.setitem(FRAMEWORKS, "keras", broken)
    with pytest.raises(SetupError, match=r"install failed.*(\n.*)*complete log"):
        environments.setup("keras")
    monkeypatch.setattr(environments, "here", lambda f: False)
    with pytest.raises(UsageError, match="setup keras"):  # half an environment is none
        environments.find(broken)
    with pytest.raises(UsageError, match="framework must be one of"):
        environments.setup("jax")


@pytest.mark.slow
def test_an_environment_is_made_once_and_for_its_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    wheel(package / "stand_in-1.0-py3-none-any.whl")
    chosen = Framework("keras", "Keras", "a tool", "w.py", ("stand_in",), (str(package / "stand_in-1.0-py3-none-any.whl"),))
    monkeypatch.setitem(FRAMEWORKS, "keras", chosen)
    stages: list[str] = []
    made = environments.setup("keras", progress=lambda stage, done, total: stages.append(stage))
    assert made.created and stages == ["create", "install", "check"]
    assert "stand_in==1.0" in made.packages
    again = environments.setup("keras")
    assert not again.created and again.python == made.python
    assert environments.find(chosen).python == made.python
    pip = subprocess.run([Path(made.folder) / "bin" / "pip", "--version"], capture_output=True, text=True, check=True)
    assert made.folder in pip.stdout  # its scripts know where it is
    assert json.loads(made.to_json())["schema_version"] == 1
    done = subprocess.run(
        [sys.executable, "-m", "fullint", "setup", "onnx", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "onnx2tf" in done.stdout


@pytest.mark.slow
def test_an_environment_stays_until_the_new_one_is_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "stand_in-1.0-py3-none-any.whl"
    wheel(package)
    chosen = Framework("keras", "Keras", "a tool", "w.py", ("stand_in",), (str(package),))
    monkeypatch.setitem(FRAMEWORKS, "keras", chosen)
    made = environments.setup("keras")
    package.write_bytes(b"")
    with pytest.raises(SetupError, match="install failed"):
        environments.setup("keras", force=True)
    assert environments.find(chosen).python == made.python
    wheel(package)
    assert environments.setup("keras", force=True).created
    assert [p.name for p in Path(made.folder).parent.iterdir()] == [Path(made.folder).name]


def wheel(path: Path) -> None:
    """A package of one empty module."""
    import zipfile

    with zipfile.ZipFile(path, "w") as z:
        z.writestr("stand_in.py", "")
        z.writestr("stand_in-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: stand_in\nVersion: 1.0\n")
        z.writestr("stand_in-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        z.writestr("stand_in-1.0.dist-info/RECORD", "")


# --- conversion, by a stand-in


def network() -> bytes:
    """NHWC, as a converter writes it: inputs in its own order, an image among its outputs."""
    g = Builder(seed=5)
    b, a = g.input(1, 6, name="serving_default_b:0"), g.input(1, 8, 8, 3, name="serving_default_a:0")
    y = g.conv(a, 5, activation="RELU")
    y.name = "StatefulPartitionedCall:1"
    z = g.dense(b, 4)
    z.name = "StatefulPartitionedCall:0"
    g.output(z, y)
    return g.bytes("serving_default")


def stand_in(modules: tuple[str, ...] = ("json",), attempts: int = 1) -> Framework:
    return Framework("keras", "Keras", "a tool", "worker.py", modules, (), attempts)


STAND_IN = """
import json, os, pathlib, shutil, sys
import worker_protocol

def main():
    asked = worker_protocol.request()
    here = pathlib.Path(__file__).parent
    made = here / str(asked['attempt'])
    print('line of the tool', flush=True)
    given = pathlib.Path(asked['folder'], 'given.npz')
    if given.exists():
        shutil.copy(given, here / 'given.npz')
    if (here / 'dies').exists():
        os._exit(9)
    if not made.exists():
        raise ValueError('it does not like the model')
    for f in made.iterdir():
        shutil.copy(f, asked['folder'])

worker_protocol.answered(main)
"""


@pytest.fixture
def convert(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Convert with a worker that copies prepared files, one set for each attempt."""
    workers = tmp_path / "workers"
    workers.mkdir()
    (workers / "worker.py").write_text(STAND_IN)
    shutil.copy(conversion_module.WORKERS / "worker_protocol.py", workers)
    monkeypatch.setattr(conversion_module, "WORKERS", workers)
    model = tmp_path / "model.keras"
    model.write_bytes(b"a model")

    def converted(*attempts: tuple[bytes, dict[str, object], list[np.ndarray], list[np.ndarray]] | None):
        for i, made in enumerate(attempts):
            if made is not None:
                prepared(workers / str(i), *made)
        monkeypatch.setitem(FRAMEWORKS, "keras", stand_in(attempts=len(attempts)))
        return conversion_module.convert(model)

    return converted


def prepared(folder: Path, data: bytes, facts: dict[str, object], sample: list[np.ndarray], expected: list[np.ndarray]) -> None:
    folder.mkdir()
    (folder / "0.tflite").write_bytes(data)
    (folder / "facts.json").write_text(json.dumps({"versions": {"tool": "1.0"}, **facts}))
    arrays = {f"input{i}": a for i, a in enumerate(sample)} | {f"output{i}": a for i, a in enumerate(expected)}
    np.savez(folder / "check.npz", **arrays)


def original(data: bytes) -> tuple[dict[str, object], list[np.ndarray], list[np.ndarray]]:
    """What the framework says of it: channels first, image before scores, names of its own."""
    model = read_bytes(data)
    rng = np.random.default_rng(1)
    by_name = {t.name: rng.normal(size=t.shape).astype(NUMPY_TYPES[t.dtype]) for t in model.main.inputs}
    out = dict(zip([t.name for t in model.main.outputs], run(data, list(by_name.values())), strict=True))
    image, vector = by_name["serving_default_a:0"], by_name["serving_default_b:0"]
    facts = {
        "inputs": [("picture", "a"), ("vector", "b")],
        "outputs": [("features", "StatefulPartitionedCall:1"), ("scores", "StatefulPartitionedCall:0")],
    }
    expected = [out["StatefulPartitionedCall:1"].transpose(0, 3, 1, 2), out["StatefulPartitionedCall:0"]]
    return facts, [image.transpose(0, 3, 1, 2), vector], expected


def test_names_order_and_layout_are_the_users(convert) -> None:
    data = network()
    facts, sample, expected = original(data)
    made = convert((data, facts, sample, expected))
    model = read_bytes(made.model)
    assert [(t.name, t.shape) for t in model.main.inputs] == [("picture", (1, 3, 8, 8)), ("vector", (1, 6))]
    assert [(t.name, t.shape) for t in model.main.outputs] == [("features", (1, 5, 8, 8)), ("scores", (1, 4))]
    assert [n for n, _ in model.signatures[0].inputs] == ["picture", "vector"]
    assert [n for n, _ in model.signatures[0].outputs] == ["features", "scores"]
    for ours, theirs in zip(run(made.model, sample), expected, strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)
    assert made.conversion.sqnr_db > 100
    assert made.conversion.versions == {"tool": "1.0"}
    assert "line of the tool" in Path(made.conversion.log).read_text()


def test_square_outputs_are_told_by_their_numbers(convert) -> None:
    """An output of equal axes: its shape tells nothing, a transposed one is found by its values."""
    g = Builder(seed=6)
    x = g.input(1, 4, 4, 4, name="x")
    y = g.conv(x, 4)
    g.output(y)
    data = g.bytes("serving_default")
    sample = np.random.default_rng(2).normal(size=(1, 4, 4, 4)).astype(np.float32)
    out = run(data, [sample])[0]
    facts = {"inputs": [("x", "x")], "outputs": [("y", y.name)]}
    made = convert((data, facts, [sample], [out.transpose(0, 3, 1, 2)]))
    assert np.allclose(run(made.model, [sample])[0], out.transpose(0, 3, 1, 2), atol=1e-5)
    assert [op.kind for op in read_bytes(made.model).main.ops] == ["CONV_2D", "TRANSPOSE"]


def test_another_network_is_refused(convert) -> None:
    data = network()
    facts, sample, expected = original(data)
    with pytest.raises(ConversionError, match=r"computes something else: .* dB"):
        convert((data, facts, sample, [-e for e in expected]))


def test_the_first_attempt_with_the_right_numbers_is_taken(convert) -> None:
    data = network()
    facts, sample, expected = original(data)
    made = convert(None, (data, facts, sample, [-e for e in expected]), (data, facts, sample, expected))
    assert made.conversion.attempt == 2


def test_a_failure_is_its_reason(convert) -> None:
    """Whole, without the stack; the rest is in the log."""
    with pytest.raises(ConversionError, match=r"cannot convert .*: ValueError: it does not like the model") as e:
        convert(None)
    log = Path(str(e.value).rpartition("log: ")[2])
    assert "line of the tool" not in str(e.value) and "Traceback" not in str(e.value)
    assert "line of the tool" in log.read_text() and "Traceback" in log.read_text()


def test_a_missing_module_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    path = tmp_path / "networks.py"
    path.write_text("import no_such_module_anywhere.inside\ndef make(): ...\ndef late(): import another_one_missing\n")
    with pytest.raises(Refused, match=r"needs the module no_such_module_anywhere, .* -m pip install no_such_module_anywhere$"):
        called(str(path), "make")
    path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(Refused, match="pip install another_one_missing"):
        called(str(path), "late")
    with pytest.raises(Refused, match="has no function other"):
        called(str(path), "other")


def test_a_tool_that_dies_shows_its_last_lines(convert, tmp_path: Path) -> None:
    (tmp_path / "workers" / "dies").touch()
    with pytest.raises(ConversionError, match="ended with exit code 9") as e:
        convert(None)
    assert "line of the tool" in str(e.value) and "  log: " in str(e.value)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("a short one", "a short one"),
        ("", "ValueError"),
        ("Unknown layer: 'X'.\nArguments received by X.call():\n  * a", "Unknown layer: 'X'."),
        ("<unknown>:0: note: callsite\n<unknown>:0: error: 'tf.X' op is bad\nnote: see", "<unknown>:0: error: 'tf.X' op is bad"),
        ("no " * 1000, "no " * 400 + " …"),
        ("\n".join(f"line {i}" for i in range(99)), "\n  ".join(f"line {i}" for i in range(8))),
    ],
)
def test_the_informative_lines_of_a_message(message: str, said: str) -> None:
    assert sentence(ValueError(message)) == said


def test_results_are_compared_on_the_first_sample(convert, tmp_path: Path) -> None:
    """By name or position, as the worker then finds it; where it does not fit, it is a random one."""
    data = network()
    convert((data, *original(data)))
    shutil.rmtree(tmp_path / "environments" / "converted")
    samples = [{"vector": np.full((1, 6), float(i)), "picture": np.ones((1, 3, 8, 8))} for i in range(5, 25)]
    quantize(tmp_path / "model.keras", samples, min_sqnr=-100.0)
    shutil.move(tmp_path / "workers" / "given.npz", tmp_path / "given.npz")
    found = given(tmp_path)
    assert set(found) == {"vector", "picture"} and found["vector"].tolist() == [[5.0] * 6]
    picture, vector, other = drawn(
        [((1, 3, 8, 8), "float32"), ((1, 6), "float32"), ((1, 6), "int64")], ["picture", "vector", "other"], found
    )
    assert (picture == 1).all() and (vector == 5).all() and set(other.reshape(-1)) <= {0, 1}
    (by_place,) = drawn([((2, 3), "int64")], ["x"], {"0": np.arange(6)})
    assert by_place.tolist() == [[0, 1, 2], [3, 4, 5]]
    for misfit in (np.arange(5), np.linspace(0, 1, 6)):
        (random,) = drawn([((2, 3), "int64")], ["x"], {"0": misfit})
        assert set(random.reshape(-1)) <= {0, 1}


def test_the_first_sample_of_every_source(tmp_path: Path) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.savez(tmp_path / "a.npz", x=rows, y=rows + 1)
    np.save(tmp_path / "a.npy", rows)
    (tmp_path / "rep.py").write_text(
        "import numpy as np\ndef gen():\n    yield [np.arange(4)]\ndef bad():\n    raise KeyError('x')\n"
    )
    first = rows[0].tolist()
    for source, names in (
        (tmp_path / "a.npz", {"x", "y"}),
        (f"{tmp_path / 'a.npz'}:x", {"x"}),
        (str(tmp_path / "a.npy"), {"0"}),
        (f"{tmp_path / 'rep.py'}:gen", {"0"}),
        (rows, {"0"}),
        ({"x": rows}, {"x"}),
        ([rows[0]], {"0"}),
        ([[rows[0], rows[1]]], {"0", "1"}),
        (lambda: iter([{"x": rows[0]}]), {"x"}),
    ):
        found = first_sample(source)
        assert set(found) == names and found[min(names)].reshape(-1).tolist() == first
    for nothing in (None, iter([rows]), [], "nowhere.npz", tmp_path, 42, f"{tmp_path / 'rep.py'}:bad", [["text"]]):
        assert first_sample(nothing) == {}


def test_what_was_converted_is_kept_by_its_content(convert, tmp_path: Path) -> None:
    data = network()
    made = (data, *original(data))
    first = convert(made)
    shutil.rmtree(tmp_path / "workers" / "0")  # so that another run of the tool would fail
    again = conversion_module.convert(tmp_path / "model.keras")
    assert again.model == first.model and again.conversion.kept and not first.conversion.kept
    for options in ({"batch": 2}, {"shape": "picture=1,3,8,8"}):
        with pytest.raises(ConversionError):
            conversion_module.convert(tmp_path / "model.keras", **options)
    (tmp_path / "model.keras").write_bytes(b"another model")
    with pytest.raises(ConversionError):
        conversion_module.convert(tmp_path / "model.keras")


def test_what_is_kept_has_a_limit_and_damage_is_seen(convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = network()
    convert((data, *original(data)))
    (folder,) = (tmp_path / "environments").glob("converted")
    (model,) = folder.glob("*.tflite")
    model.write_bytes(model.read_bytes()[:-1])
    shutil.rmtree(tmp_path / "workers" / "0")
    with pytest.raises(ConversionError):
        conversion_module.convert(tmp_path / "model.keras")
    monkeypatch.setattr(kept, "KEPT_BYTES", 3 * len(data))
    for i in range(4):
        kept.keep(f"{i:040}", data, Conversion("keras", "a tool", {}, "python", 0, 100.0, None, ""))
    assert len([*folder.glob("*.tflite")]) <= 3 and kept.kept(f"{3:040}") is not None


def test_what_depends_on_other_files_is_not_kept(tmp_path: Path) -> None:
    here = Environment("onnx", sys.executable)
    for name, content, known in (
        ("a.onnx", b"weights", True),
        ("b.onnx", b"\n\x08location\x12\x07weights", False),
        ("c.py", b"def f(): ...", False),
    ):
        (tmp_path / name).write_bytes(content)
        assert (kept.key_of(tmp_path / name, here, None, 1, {}) is not None) == known


def test_a_second_tool_is_tried_where_the_first_fails(convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or computes something else; where it was not set up, that is the way out."""
    data = network()
    facts, sample, expected = original(data)
    wrong = [a + 1 for a in expected]
    with pytest.raises(ConversionError, match="computes something else"):
        convert((data, facts, sample, wrong))
    workers = tmp_path / "workers"
    shutil.copytree(workers, tmp_path / "others")
    prepared(tmp_path / "others" / "1", data, facts, sample, expected)
    other = (tmp_path / "others" / "worker.py").rename(tmp_path / "others" / "other.py")
    second = Framework("second", "Keras", "another tool", str(other), ("json",), (), attempts=2)
    first = Framework("keras", "Keras", "a tool", "worker.py", ("json",), (), second=second)
    monkeypatch.setitem(FRAMEWORKS, "keras", first)
    made = conversion_module.convert(tmp_path / "model.keras")
    assert made.conversion.tool == "another tool" and made.conversion.attempt == 1
    absent = Framework("second", "Keras", "another tool", str(other), ("no_such_module_anywhere",), ())
    monkeypatch.setitem(FRAMEWORKS, "keras", Framework("keras", "Keras", "a tool", "worker.py", ("json",), (), second=absent))
    with pytest.raises(ConversionError, match="`fullint setup second` installs a second converter"):
        conversion_module.convert(tmp_path / "model.keras")


def test_the_python_of_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This one, or where the packages ask for a newer one, that, if the machine has it."""
    own = ".".join(map(str, sys.version_info[:3]))
    newer = Framework("onnx", "ONNX", "a tool", "w.py", ("json",), (), python=(3, 98))
    assert environments.python_for(stand_in(), None) == (sys.executable, own)
    assert environments.python_for(newer, None) == (sys.executable, own)
    (tmp_path / "python3.99").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert environments.python_for(newer, None) == (str(tmp_path / "python3.99"), own)
    assert environments.python_for(stand_in(), sys.executable) == (sys.executable, own)
    for no_python in ("no-such-python", "/bin/true", str(tmp_path)):
        with pytest.raises(UsageError, match="is no Python that can make environments"):
            environments.python_for(stand_in(), no_python)


def test_a_file_that_the_tool_has_broken_is_refused(convert) -> None:
    """Even where nothing can be compared."""
    data = network()
    facts, sample, expected = original(data)
    model = read_bytes(data)
    model.main.ops[0].inputs[0] = twin(model.main.ops[0].inputs[0], "nobody writes it")
    model.main.sync_tensors()
    with pytest.raises(ConversionError, match='reads "nobody writes it" before anything writes it'):
        convert((write_model(model), facts, sample, expected))


def test_another_number_of_outputs_is_refused(convert) -> None:
    data = network()
    facts, sample, expected = original(data)
    facts["outputs"] = facts["outputs"][:1]
    with pytest.raises(ConversionError, match="has 2 outputs, the original 1"):
        convert((data, facts, sample, expected[:1]))


def test_quantize_takes_it_and_says_how_it_was_made(convert, tmp_path: Path) -> None:
    data = network()
    facts, sample, expected = original(data)
    convert((data, facts, sample, expected))
    rng = np.random.default_rng(3)
    samples = [{"vector": rng.normal(size=(1, 6)), "picture": rng.normal(size=(1, 3, 8, 8))} for _ in range(20)]
    result = quantize(tmp_path / "model.keras", samples)
    assert result.report.conversion is not None and result.report.conversion.tool == "a tool"
    assert result.report.float_operators == 0
    assert result.report.options["model"].endswith("model.keras")
    assert "convert" in result.report.seconds
    assert [t.name for t in read_bytes(result.model).main.inputs] == ["picture", "vector"]


def test_the_commands_say_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"convert", "setup"} <= {*main.list_commands(click.Context(main))}
    words = [sys.executable, "-m", "fullint"]
    for arguments, says in (
        (["convert", "missing.keras", "-o", "x.tflite"], "No such file"),
        (["convert", "m.pth", "-o", "x.tflite"], "torch.export.save"),
        (["convert", "missing.keras"], "give -o FILE"),
        (["quantize", "missing.onnx", "--synthetic", "-o", "x.tflite"], "No such file"),
    ):
        done = subprocess.run([*words, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
        assert not (tmp_path / "x.tflite").exists()
