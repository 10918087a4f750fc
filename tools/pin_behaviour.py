"""Pins what users get, so that a change of structure can be told from a change of results.

python tools/pin_behaviour.py record FILE.json [MODEL|FOLDER ...]    write what this checkout makes of each model
python tools/pin_behaviour.py compare FILE.json [MODEL|FOLDER ...]   exit 1 where this checkout makes something else

For each model, with the same random samples: `quantize` (per channel, per tensor, int16) and `repair` (from the file
alone, and with samples) give an exit code and a hash of the bytes written; `audit` an exit code and the rule, level,
operator and tensor name of each finding. Sentences are free to change. Models are the `models` and `singles` folders of
FULLINT_CORPUS, where that is set, the demo's two networks, and random graphs.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import fullint
from fullint.cli import main

ROOT = Path(__file__).parents[1]
SAMPLES = 8
RANDOM_GRAPHS = 40
NOT_REPEATABLE = {"tflm_keyword_scrambled_8bit"}
"""It makes the runtime write where it should not: what comes of it differs from run to run."""
JOBS: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "per_channel": ("quantize", (), True),
    "per_tensor": ("quantize", ("--per-tensor",), True),
    "int16": ("quantize", ("--activations", "int16"), True),
    "float_io": ("quantize", ("--io", "float32", "--keep-float", "CONV_2D"), True),
    "repair": ("repair", (), False),
    "repair_measured": ("repair", (), True),
}


def called(*words: str) -> tuple[int, str]:
    """Exit code and standard output of a command, run in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(list(words), standalone_mode=True)
        except SystemExit as e:
            return int(e.code or 0), out.getvalue()
    return 0, out.getvalue()


def draw(path: Path, folder: Path) -> Path | None:
    """Random samples of a model's inputs, or None where it cannot be read."""
    try:
        model = fullint.read_model(path)
    except fullint.FullintError:
        return None
    rng = np.random.default_rng(5)
    arrays = {}
    for number, t in enumerate(model.main.inputs):
        shape = (SAMPLES, *(max(n, 1) for n in t.shape))
        dtype = np.dtype("bool" if t.dtype == "bool" else t.dtype)
        if dtype.kind == "f":
            arrays[t.name or f"input{number}"] = rng.normal(size=shape).astype(dtype)
        else:
            arrays[t.name or f"input{number}"] = rng.integers(0, 2 if dtype.kind == "b" else 8, shape).astype(dtype)
    np.savez(folder / "samples.npz", **arrays)
    return folder / "samples.npz"


def pinned(path: Path) -> dict[str, Any]:
    """What the commands make of one model."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = draw(path, folder)
        code, text = called("audit", str(path), "--json")
        findings = [f for file in json.loads(text)["files"] for f in file["findings"]] if text.startswith("{") else []
        found["audit"] = [code, sorted([f["rule"], f["level"], f["graph"], f["index"], f["output"]] for f in findings)]
        for job, (command, options, needs) in JOBS.items():
            if samples is None and needs:
                continue
            out = folder / f"{job}.tflite"
            given = ["-c", str(samples)] if needs else []
            code, text = called(command, str(path), *given, "-o", str(out), "--threads", "1", "--json", *options)
            digest = hashlib.sha256(out.read_bytes()).hexdigest() if out.exists() else None
            found[job] = [code, digest, _steps(text)]
    return found


def _steps(text: str) -> str | None:
    """A hash of what was done to which operator (not of the sentences), or the name of the error."""
    if not text.startswith("{"):
        return None
    body = json.loads(text)
    report = body.get("result", body)
    if report.get("status") == "failed":
        return f"{report['error']}: {sorted((b['graph'], b['index'], b['output']) for b in report['blockers'])}"
    done = [[c["rule"], c["index"], c["output"]] for key in ("changes", "requantizes", "kept_float") for c in report[key]]
    cuts = [[c["index"], c["output"], c["input"]] for c in report["cuts"]]
    return hashlib.sha256(json.dumps([done, cuts, len(report["warnings"])]).encode()).hexdigest()[:16]


def models(folder: Path) -> list[Path]:
    """The models to pin where none are named."""
    corpus = os.environ.get("FULLINT_CORPUS")
    found = [p for kind in ("models", "singles") for p in sorted(Path(corpus, kind).glob("*.tflite"))] if corpus else []
    found += [p for p in sorted((ROOT / "src").rglob("*.tflite")) if p.parent.name == "demo"]
    sys.path.insert(0, str(ROOT / "tests"))
    from random_graphs import made

    for seed in range(RANDOM_GRAPHS):
        path = folder / f"random_{seed:03}.tflite"
        path.write_bytes(fullint.write_model(made(seed)[0].model()))
        found.append(path)
    return [p for p in found if p.stem not in NOT_REPEATABLE]


def all_of(paths: list[Path]) -> dict[str, Any]:
    """What the commands make of each model, two at a time."""
    found = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for path, result in zip(paths, pool.map(pinned, paths), strict=True):
            found[path.stem] = result
            print(path.stem, file=sys.stderr)
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line for each model and job that differs."""
    lines = []
    for name in sorted({*before, *after}):
        one, other = before.get(name, {}), after.get(name, {})
        lines += [
            f"{name} {job}: {one.get(job)} -> {other.get(job)}" for job in {**one, **other} if one.get(job) != other.get(job)
        ]
    return lines


def run(action: str, file: str, *named: str) -> int:
    """Record, or compare with what was recorded."""
    with tempfile.TemporaryDirectory() as folder:
        given = [p for n in map(Path, named) for p in ([n] if n.is_file() else sorted(n.glob("*.tflite")))]
        found = json.loads(json.dumps(all_of(given or models(Path(folder)))))
    if action == "record":
        rows = (f"{json.dumps(name)}: {json.dumps(result)}" for name, result in found.items())
        Path(file).write_text("{\n" + ",\n".join(rows) + "\n}\n")
        return 0
    before = json.loads(Path(file).read_text())
    lines = differences({n: before[n] for n in before if n in found or not named}, found)
    print("\n".join(lines) or f"{len(found)} models: nothing differs")
    return int(bool(lines))


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("record", "compare"):
        sys.exit(__doc__)
    sys.exit(run(*sys.argv[1:]))
