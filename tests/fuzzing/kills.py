"""Commands killed at random moments, with each signal: nothing is left, and an old output stays whole.

cd tests; python -m fuzzing.kills [--runs N] [--seed S]

A run starts a command that writes over an old output, and sends it a signal some time later. Afterwards there must be no child,
no temporary file, and either the old output or the new one. Only SIGKILL may leave one file, which the next run removes.
`convert` needs the environment that `fullint setup keras` makes; where there is none, it is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fullint import demo
from fullint.errors import UsageError
from fullint.frontends import environments
from fullint.frontends.formats import FRAMEWORKS
from fuzzing.seeds import LOG

DEMO = Path(demo.__file__).parent
FLOAT, HALF, SAMPLES = DEMO / "digits.tflite", DEMO / "half.tflite", DEMO / "calibration.npz"
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL)
OLD = b"the old output"
NETWORK = """
import keras

def network():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(3)])
"""
GIVEN = {"a.log": LOG, "network.py": NETWORK}
"""Inputs, which lie beside the output's folder."""
COMMANDS: dict[str, tuple[Sequence[str], float]] = {
    "quantize": (("quantize", str(FLOAT), "-c", str(SAMPLES), "-o", "OUT", "--force"), 2.0),
    "repair": (("repair", str(HALF), "-o", "OUT", "--force"), 1.5),
    "sensitivity": (("sensitivity", str(FLOAT), "-c", str(SAMPLES), "--budget", "3"), 5.0),
    "compare": (("compare", str(FLOAT), str(FLOAT), "--csv", "OUT", "--force"), 1.5),
    "benchmark": (("benchmark", str(FLOAT), "--num-runs", "10", "--min-secs", "0.1", "--warmup-min-secs", "0.1"), 1.5),
    "audit": (("audit", str(HALF), "-c", str(SAMPLES)), 1.0),
    "partition": (("partition", str(HALF), "--after", "repair"), 1.5),
    "demo": (("demo", "-o", "OUT", "--force"), 2.5),
    "plan": (("quantize", str(FLOAT), "-c", str(SAMPLES), "--plan"), 1.0),
    "inspect": (("inspect", str(FLOAT)), 0.5),
    "explain": (("explain",), 0.5),
    "readlog": (("readlog", "a.log"), 0.5),
    "convert": (("convert", "network.py:network", "-o", "OUT", "--force"), 12.0),
    "setup": (("setup", "keras", "--force"), 12.0),
}
"""Arguments, and seconds within which a run is killed."""
GONE_WITHIN = 3.0
"""Seconds after a command's end in which its children have to end."""
PATIENCE = 120.0
"""Seconds in which a command has to end."""


def _children(mark: str) -> list[str]:
    """Living processes that have a mark in their environment, with what they run."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (place / "environ").read_bytes() and "\nState:\tZ" not in (place / "status").read_text():
                found.append(f"{place.name}: {(place / 'cmdline').read_bytes()[:200]!r}")
    return found


def killed(name: str, number: signal.Signals, after: float) -> list[str]:
    """What is wrong after a command was killed; how the run ended must be the signal, or what a command that was ready gives."""
    with tempfile.TemporaryDirectory(prefix="kills-") as there:
        folder = Path(there)
        environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "FULLINT_KILLS": folder.name}
        out, watched = folder / "outputs" / "out", folder / "outputs"
        if name == "setup":
            environment[environments.VARIABLE] = str(folder)
            watched = folder / "environments"
            out = watched / environments.folder_of(FRAMEWORKS["keras"]).name / environments.READY
        out.parent.mkdir(parents=True)
        (folder / "tmp").mkdir()
        out.write_bytes(OLD)
        for given, text in GIVEN.items():
            (folder / given).write_text(text)
        mark = f"FULLINT_KILLS={folder.name}"
        arguments = [str(out) if a == "OUT" else a for a in COMMANDS[name][0]]
        command = [sys.executable, "-m", "fullint", *arguments]
        run = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with run as process:
            time.sleep(after)
            process.send_signal(number)
            output, _ = process.communicate(timeout=PATIENCE)
        problems = []
        if process.returncode not in (-number, 0, 1, 128 + number):
            problems.append(f"exit code {process.returncode}: {output.decode(errors='replace')[-500:]}")
        if b"Traceback" in output and b"KeyboardInterrupt" not in output:
            problems.append(f"a traceback: {output.decode(errors='replace')[-800:]}")
        end = time.monotonic() + GONE_WITHIN
        while (left := _children(mark)) and time.monotonic() < end:
            time.sleep(0.05)
        problems += [f"a process is left: {p}" for p in left]
        return problems + _files(number, out, (folder / "tmp", watched), command, environment)


def _files(number: int, out: Path, watched: tuple[Path, Path], command: Sequence[str], environment: dict[str, str]) -> list[str]:
    """What is wrong with the output, or lies beside it or in the folder for temporary files."""
    problems = []
    if out.read_bytes() != OLD and not out.stat().st_size > len(OLD):
        problems.append(f"the output is neither the old nor the new one: {out.stat().st_size} bytes")
    left = [p for folder in watched for p in folder.iterdir() if p not in (out, out.parent)]
    if number == signal.SIGKILL and len(left) == 1:
        subprocess.run(command, env=environment, cwd=watched[0].parent, capture_output=True, check=False)
        left = [p for p in left if p.exists()]
    return problems + [f"a file is left: {p.name}" for p in left]


def _is_ready() -> bool:
    """Whether Keras models can be converted."""
    try:
        environments.find(FRAMEWORKS["keras"])
    except UsageError:
        return False
    return True


def main() -> int:
    """Kill each command so many times; exit 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=100, help="of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--command", action="append", choices=sorted(COMMANDS))
    given = parser.parse_args()
    rng = random.Random(given.seed)
    wrong = 0
    for name in given.command or COMMANDS:
        if name == "convert" and not _is_ready():
            sys.stdout.write("convert: left out, since there is no environment for Keras\n")
            continue
        for run in range(given.runs):
            number = SIGNALS[run % len(SIGNALS)]
            after = rng.uniform(0.0, COMMANDS[name][1])
            for problem in killed(name, number, after):
                wrong += 1
                sys.stdout.write(f"{name}, {number.name} after {after:.3f} s: {problem}\n")
        sys.stdout.write(f"{name}: {given.runs} runs\n")
        sys.stdout.flush()
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
