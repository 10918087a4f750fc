"""Other programs as children that end when this process does, however it ends.

    this process ──pipe──> supervisor ──> program, in a session of its own

When the pipe closes, since this process is through with the program or is gone, the supervisor ends the program and all that
the program has started, and removes its temporary files.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from fullint.errors import RuntimeFailure

PROGRAM_PATIENCE = 300.0
"""Seconds that a compiler, or another runtime, may take for a model."""

_SUPERVISOR = """
import os, shutil, signal, subprocess, sys, threading, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
own_session = hasattr(os, "killpg")
program = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, start_new_session=own_session)
alone = threading.Event()
def end():
    try:
        os.killpg(program.pid, signal.SIGKILL) if own_session else program.kill()
    except OSError:
        pass
def watch():
    while os.read(0, 1):
        pass
    alone.set()
    end()
    for _ in range(50 if sys.argv[1] else 0):  # what was ended may still write
        shutil.rmtree(sys.argv[1], ignore_errors=True)
        if not os.path.exists(sys.argv[1]):
            break
        time.sleep(0.02)
    os._exit(1)
watching = threading.Thread(target=watch, daemon=True)
watching.start()
code = program.wait()
if alone.is_set():
    watching.join()
os._exit(code if code >= 0 else 128 - code)
"""


@contextlib.contextmanager
def supervised(
    command: Sequence[str], out: IO[Any], *, cwd: Path | None = None, temporary: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the context is left, or ends before: its supervisor, whose exit code is the program's.

    Args:
        command: the program and its arguments.
        out: file for what it writes.
        cwd: folder that it runs in.
        temporary: folder for its temporary files, which is removed where it is ended early; the usual one by default.

    Raises:
        OSError: it cannot be started.
    """
    environment = os.environ if temporary is None else {**os.environ, "TMPDIR": str(temporary)}
    supervisor = [sys.executable, "-I", "-S", "-c", _SUPERVISOR, str(temporary or ""), *command]
    with subprocess.Popen(
        supervisor, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env=environment
    ) as process:
        assert process.stdin is not None
        try:
            yield process
        finally:
            process.stdin.close()


def run_supervised(
    command: Sequence[str], out: IO[Any], *, cwd: Path | None = None, temporary: Path | None = None, timeout: float | None = None
) -> int:
    """Run a program to its end, and return its exit code: 128 + the number of the signal, where one has ended it.

    Args:
        command, out, cwd, temporary: see `supervised`.
        timeout: seconds after which it is ended.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout`.
        OSError: it cannot be started.
    """
    with supervised(command, out, cwd=cwd, temporary=temporary) as process:
        return process.wait(timeout)


def said_by(what: str, command: Sequence[str], folder: Path) -> tuple[int, str]:
    """Run a program to its end: (its exit code, what it wrote).

    Args:
        what: names the program in error messages.
        command: the program and its arguments.
        folder: for its temporary files, and for what it writes.

    Raises:
        RuntimeFailure: it takes longer than `PROGRAM_PATIENCE`.
    """
    with open(folder / "said", "w+", errors="replace") as said:
        try:
            code = run_supervised(command, said, temporary=folder, timeout=PROGRAM_PATIENCE)
        except subprocess.TimeoutExpired as e:
            raise RuntimeFailure(f"{what} did not finish within {PROGRAM_PATIENCE:.0f} s") from e
        said.seek(0)
        return code, said.read()
