"""Other programs as children that end when this process does, however it ends.

    this process ──pipe──> supervisor ──> program, in a session of its own

When the pipe closes, since this process is through with the program or is gone, the supervisor ends the program and all that
the program has started.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

_SUPERVISOR = """
import os, signal, subprocess, sys, threading
signal.signal(signal.SIGINT, signal.SIG_IGN)
own_session = hasattr(os, "killpg")
program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=own_session)
def end():
    try:
        os.killpg(program.pid, signal.SIGKILL) if own_session else program.kill()
    except OSError:
        pass
def watch():
    while os.read(0, 1):
        pass
    end()
    os._exit(1)
threading.Thread(target=watch, daemon=True).start()
code = program.wait()
os._exit(code if code >= 0 else 128 - code)
"""


def run_supervised(
    command: Sequence[str], out: IO[Any], *, cwd: Path | None = None, temporary: Path | None = None, timeout: float | None = None
) -> int:
    """Run a program to its end, and return its exit code: 128 + the number of the signal, where one has ended it.

    Args:
        command: the program and its arguments.
        out: file for what it writes.
        cwd: folder that it runs in.
        temporary: folder for its temporary files; the usual one by default.
        timeout: seconds after which it is ended.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout`.
        OSError: it cannot be started.
    """
    environment = os.environ if temporary is None else {**os.environ, "TMPDIR": str(temporary)}
    supervisor = [sys.executable, "-I", "-S", "-c", _SUPERVISOR, *command]
    with subprocess.Popen(
        supervisor, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, cwd=cwd, env=environment
    ) as process:
        assert process.stdin is not None
        try:
            return process.wait(timeout)
        finally:
            process.stdin.close()
