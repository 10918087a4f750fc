"""The commands as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from half import Half
from test_quantize import network
from timings import cpu_seconds, settled

from fullint.model.tflite import read_bytes, read_model
from fullint.ops.builder import Builder, samples_like


def fullint(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fullint", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a model, samples, an impossible model, and bad files."""
    g = Builder()
    network(g)
    data = g.bytes()
    (tmp_path / "model.tflite").write_bytes(data)
    np.savez(tmp_path / "samples.npz", x=np.stack([s["x"][0] for s in samples_like(read_bytes(data), 20)]))
    bad = Builder()
    x = bad.input(1, 8, 8, 3)
    bad.output(bad.op("REVERSE_SEQUENCE", x, bad.const(np.int32([5])), shape=x.shape, seq_dim=1, name="wave"))
    (tmp_path / "sine.tflite").write_bytes(bad.bytes())
    (tmp_path / "broken.tflite").write_bytes(data[: len(data) // 2])
    return tmp_path


def test_quantize(home: Path) -> None:
    done = fullint("quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "all integer" in done.stdout
    assert "3 of 3 with int8 weights and int32 bias" in done.stdout
    assert done.stderr == ""
    assert not any(t.is_float for t in read_model(home / "out.tflite").main.tensors)


def test_json_report(home: Path) -> None:
    done = fullint("quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite", "--json", cwd=home)
    body = json.loads(done.stdout)
    assert body["schema_version"] == 1
    assert body["float_operators"] == 0
    assert body["sizes"]["after"] == (home / "out.tflite").stat().st_size


def test_impossible_model(home: Path) -> None:
    done = fullint("quantize", "sine.tflite", "--synthetic", "-o", "out.tflite", "--json", cwd=home)
    assert done.returncode == 1
    assert 'op 0 REVERSE_SEQUENCE "wave"' in done.stderr
    assert json.loads(done.stdout)["blockers"][0]["kind"] == "REVERSE_SEQUENCE"
    assert not (home / "out.tflite").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["model.tflite", "-o", "out.tflite"], "no representative samples"),
        (["model.tflite", "-c", "samples.npz"], "give -o FILE"),
        (["nowhere.tflite", "-c", "samples.npz", "-o", "out.tflite"], "cannot be read"),
        (["broken.tflite", "-c", "samples.npz", "-o", "out.tflite"], "truncated or damaged"),
        (["samples.npz", "-c", "samples.npz", "-o", "out.tflite"], "not a TFLite model"),
        (["model.tflite", "-c", "nowhere.npz", "-o", "out.tflite"], "no such file"),
        (["model.tflite", "-c", "model.tflite", "-o", "out.tflite"], "not a source of samples"),
        (["model.tflite", "-c", "samples.npz", "--synthetic", "-o", "out.tflite"], "not both"),
        (["model.tflite", "-c", "samples.npz", "-o", "no/such/folder.tflite"], "cannot be written"),
        (["model.tflite", "-c", "samples.npz", "-o", "out.tflite", "--mean", "x"], "not a number"),
        (["model.tflite", "-c", "samples.npz", "-o", "out.tflite", "--batch", "7"], "is not dynamic, but fixed at"),
        (["model.tflite", "--perchannel"], "No such option"),
        (["model.tflite", "-c", "samples.npz", "-o", "-"], "name a file with -o"),
        (["model.tflite", "-c", "samples.npz", "-o", "out.tflite", "--min-sqnr", "nan"], "finite"),
    ],
)
def test_bad_use_is_one_message_and_exit_2(home: Path, arguments: list[str], says: str) -> None:
    done = fullint("quantize", *arguments, cwd=home)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (home / "out.tflite").exists()


def test_output_is_not_overwritten_without_force(home: Path) -> None:
    (home / "out.tflite").write_bytes(b"old")
    done = fullint("quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite", cwd=home)
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (home / "out.tflite").read_bytes() == b"old"


def test_failing_force_leaves_the_old_file(home: Path) -> None:
    (home / "out.tflite").write_bytes(b"old")
    for arguments in (
        ["sine.tflite", "--synthetic"],
        ["broken.tflite", "--synthetic"],
        ["model.tflite", "-c", "samples.npz", "--min-sqnr", "99"],
    ):
        assert fullint("quantize", *arguments, "-o", "out.tflite", "--force", cwd=home).returncode > 0
    assert (home / "out.tflite").read_bytes() == b"old"
    assert sorted(p.name for p in home.iterdir()) == ["broken.tflite", "model.tflite", "out.tflite", "samples.npz", "sine.tflite"]


def test_force_overwrites(home: Path) -> None:
    (home / "out.tflite").write_bytes(b"old")
    assert fullint("quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite", "--force", cwd=home).returncode == 0
    assert len((home / "out.tflite").read_bytes()) > 1000


def test_integer_model_is_copied(home: Path) -> None:
    fullint("quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite", cwd=home)
    done = fullint("quantize", "out.tflite", "-o", "again.tflite", cwd=home)
    assert done.returncode == 0
    assert "already all integer" in done.stdout
    assert (home / "again.tflite").read_bytes() == (home / "out.tflite").read_bytes()


def test_plan(home: Path) -> None:
    done = fullint("quantize", "model.tflite", "-c", "samples.npz", "--plan", cwd=home)
    assert done.returncode == 0
    assert "x: int8 scale" in done.stdout
    body = json.loads(fullint("quantize", "model.tflite", "-c", "samples.npz", "--plan", "--json", cwd=home).stdout)
    assert body["tensors"][0]["tensor"] == "x"


def test_inspect(home: Path) -> None:
    done = fullint("inspect", "model.tflite", cwd=home)
    assert "CONV_2D" in done.stdout
    body = json.loads(fullint("inspect", "model.tflite", "--json", cwd=home).stdout)
    assert body["operators"] == len(body["operator_list"])
    assert body["float_operators"] == body["operators"]
    assert body["macs"] == sum(o["macs"] for o in body["operator_list"]) > 0
    assert fullint("inspect", "broken.tflite", cwd=home).returncode == 2


def test_demo(tmp_path: Path) -> None:
    body = json.loads(fullint("demo", "--json", "-o", tmp_path / "demo.tflite").stdout)
    assert body["after"]["float_operators"] == 0
    assert body["after"]["conv_2d"] == "6 of 6"
    assert body["after"]["bytes"] == (tmp_path / "demo.tflite").stat().st_size < body["before"]["bytes"] / 2
    assert body["after"]["accuracy"] > body["before"]["accuracy"] - 0.005
    assert body["before"]["accuracy"] > 0.95


def test_demo_network_has_the_pattern_of_the_case() -> None:
    """Bias-free convolutions: one constant of zeros for several, and one addend for several."""
    import fullint.demo

    model = read_model(Path(fullint.demo.__file__).parent / "digits.tflite")
    convs = [op for op in model.main.ops if op.kind == "CONV_2D"]
    adds = [op for op in model.main.ops if op.kind == "ADD"]
    assert convs[0].inputs[2] is convs[1].inputs[2]
    assert adds[0].inputs[1] is adds[1].inputs[1]
    assert {"CONCATENATION", "TRANSPOSE_CONV"} <= {op.kind for op in model.main.ops}
    assert len(model.main.outputs) == 2


def test_files_of_the_user_do_not_get_in_the_way(home: Path) -> None:
    """A folder with a queue.py and a numpy.py: the child process does not import them."""
    for name in ("queue.py", "numpy.py", "pickle.py"):
        (home / name).write_text("raise SystemExit('the wrong module')")
    code = "import sys; sys.path[:] = filter(None, sys.path); from fullint.cli import main; main()"
    arguments = ["quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=home, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.alone
def test_help_starts_quickly() -> None:
    """Little more than the interpreter and the library of commands take by themselves."""
    plain = "import click; click.Context(click.Command('x')).get_help()"
    settled(lambda: (cpu_seconds("-m", "fullint", "--help"), cpu_seconds("-c", plain)), 0.0, 1.4, turns=20)


def test_importing_fullint_imports_nothing_heavy() -> None:
    code = "import fullint, sys; sys.exit('numpy' in sys.modules or 'ai_edge_litert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_closed_pipe_is_no_error(home: Path) -> None:
    command = f"{sys.executable} -m fullint inspect model.tflite | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=home, check=False)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_own_failure_is_one_line(home: Path) -> None:
    """A bug of ours asks to be reported, without a traceback unless one is asked for."""
    code = "import fullint.quantization.pipeline as p; p.quantize = lambda *a, **k: 1 / 0; from fullint.cli import main; main()"
    arguments = ["quantize", "model.tflite", "-c", "samples.npz", "-o", "out.tflite"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=home, check=False)
    assert done.returncode == 2
    assert "please report it" in done.stderr
    assert "Traceback" not in done.stderr
    env = {**os.environ, "FULLINT_TRACEBACK": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=home, env=env, check=False
    )
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr


# audit, explain, repair


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """A folder with a half-quantized model, a sound one, a deep one and a broken one."""
    g = Half()
    g.output(g.sandwich(g.coded(1, 6, 6, 2)))
    (tmp_path / "half.tflite").write_bytes(g.bytes())
    sound = Half()
    sound.output(sound.int_conv(sound.coded(1, 6, 6, 2)))
    (tmp_path / "sound.tflite").write_bytes(sound.bytes())
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "again.tflite").write_bytes(g.bytes())
    (tmp_path / "broken.tflite").write_bytes(g.bytes()[:100])
    return tmp_path


def test_audit_is_a_gate(halves: Path) -> None:
    assert fullint("audit", "sound.tflite", cwd=halves).returncode == 0
    done = fullint("audit", "half.tflite", cwd=halves)
    assert done.returncode == 1
    assert "constant-without-parameters" in done.stdout
    assert "op 1 CONV_2D" in done.stdout
    assert fullint("audit", "half.tflite", "--rule", "bias-wrong-scale", cwd=halves).returncode == 0
    assert fullint("audit", "half.tflite", "--rule", "float-border", "--fail-on", "error", cwd=halves).returncode == 0
    assert fullint("audit", "half.tflite", "--rule", "", cwd=halves).returncode == 2


def test_audit_of_a_folder(halves: Path) -> None:
    done = fullint("audit", ".", "--json", cwd=halves)
    assert done.returncode == 2
    body = json.loads(done.stdout)
    assert body["schema_version"] == 1
    by_name = {Path(f["file"]).name: f for f in body["files"]}
    assert by_name["broken.tflite"]["error"]
    assert by_name["sound.tflite"]["findings"] == []
    assert [f["rule"] for f in by_name["again.tflite"]["findings"]].count("float-border") == 2
    table = fullint("audit", "half.tflite", "deep", "sound.tflite", cwd=halves)
    assert table.returncode == 1
    assert "3 files, 6 findings" in table.stdout


@pytest.mark.alone
def test_audit_of_a_large_model_looks_at_its_weights_once(tmp_path: Path) -> None:
    """15 MB of weights take little longer than the same operators with few weights, from the start of a process to its end."""
    for channels in (8, 256):
        g = Half()
        x = g.coded(1, 8, 8, channels)
        for _ in range(25):
            x = g.int_conv(x, channels, bias=np.zeros(channels, np.float32))
        g.output(x)
        (tmp_path / f"{channels}.tflite").write_bytes(g.bytes())
    assert (tmp_path / "256.tflite").stat().st_size > 14_000_000

    def audit(channels: int) -> float:
        return cpu_seconds("-m", "fullint", "audit", f"{channels}.tflite", cwd=tmp_path)

    settled(lambda: (audit(256), audit(8)), 0.0, 2.0)


def test_explain(halves: Path) -> None:
    done = fullint("explain", "bias-wrong-scale", cwd=halves)
    assert done.returncode == 0
    assert done.stdout.startswith("bias-wrong-scale: ")
    assert "Why it matters:" in done.stdout
    assert len(json.loads(fullint("explain", "--json", cwd=halves).stdout)["rules"]) > 30
    assert fullint("explain", "bias", cwd=halves).returncode == 2


def test_repair(halves: Path) -> None:
    done = fullint("repair", "half.tflite", "-o", "out.tflite", cwd=halves)
    assert done.returncode == 0, done.stderr
    assert "all integer" in done.stdout
    assert "against the given model" in done.stdout
    assert fullint("audit", "out.tflite", cwd=halves).returncode == 0
    again = fullint("repair", "half.tflite", "-o", "out.tflite", cwd=halves)
    assert again.returncode == 2
    assert "--force" in again.stderr
    body = json.loads(fullint("repair", "half.tflite", "-o", "out.tflite", "--force", "--json", cwd=halves).stdout)
    assert body["status"] == "repaired"
    assert body["result"]["certificate"]["drawn"] is True


def test_repair_dry_run_writes_nothing(halves: Path) -> None:
    done = fullint("repair", "half.tflite", "--dry-run", cwd=halves)
    assert done.returncode == 0, done.stderr
    assert "to be fixed: 3" in done.stdout
    assert json.loads(fullint("repair", "half.tflite", "--dry-run", "--json", cwd=halves).stdout)["refused"] == []
    assert sorted(p.name for p in halves.iterdir()) == ["broken.tflite", "deep", "half.tflite", "sound.tflite"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["repair", "half.tflite"], "give -o FILE"),
        (["repair", "half.tflite", "-o", "out.tflite", "--skip", "float-oi"], "unknown rule"),
        (["repair", "half.tflite", "-o", "out.tflite", "--skip", "float-border"], "cannot be skipped"),
        (["repair", "half.tflite", "-o", "out.tflite", "-c", "nowhere.npz"], "no such file"),
        (["repair", "broken.tflite", "-o", "out.tflite"], "damaged"),
        (["audit", "nowhere.tflite"], "cannot be read"),
        (["audit", "half.tflite", "--runtime", "new"], "a release such as"),
        (["audit", "deep/.."], ""),
    ],
)
def test_bad_use_of_audit_and_repair(halves: Path, arguments: list[str], says: str) -> None:
    done = fullint(*arguments, cwd=halves)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not (halves / "out.tflite").exists()
