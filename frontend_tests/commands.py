"""What the tests of commands share: `fullint` as a user types it, and files made by a framework's own Python."""

import json
import subprocess
import sys
from pathlib import Path

from fullint.frontends.environments import find
from fullint.frontends.formats import FRAMEWORKS
from fullint.model.tflite import read_bytes

HERE = Path(__file__).parent


def fullint(*words: str, folder: Path, status: int = 0) -> dict:
    """The JSON of a command."""
    done = subprocess.run(
        [sys.executable, "-m", "fullint", *words, "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr[-3000:]
    return json.loads(done.stdout)


def quantize(model: str, folder: Path, *words: str) -> tuple[dict, bytes]:
    """The report and the bytes of `fullint quantize`, all integer."""
    out = folder / "result.tflite"
    report = fullint("quantize", model, "-o", str(out), "--force", *words, folder=folder)
    assert report["float_operators"] == 0
    assert report["conversion"]["sqnr_db"] > 60
    print(f"\n{model}: {report['certificate']['sqnr_db']:.1f} dB, {report['operators']} operators")
    return report, out.read_bytes()


def ends(data: bytes) -> tuple[list[tuple], list[tuple]]:
    """Names and shapes of inputs and outputs."""
    main = read_bytes(data).main
    return [(t.name, t.shape) for t in main.inputs], [(t.name, t.shape) for t in main.outputs]


def made_by(framework: str, folder: Path, *words: str) -> Path:
    """Run a script of this folder in a framework's environment."""
    python = find(FRAMEWORKS[framework]).python
    script, *rest = words
    done = subprocess.run([python, str(HERE / script), *rest, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
