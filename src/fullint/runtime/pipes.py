"""The two pipes of a child process that serves: what is asked comes on standard input, answers go to standard output."""

from __future__ import annotations

import os


def own_pipes() -> tuple[int, int]:
    """Descriptors to read and to write, for the caller alone.

    Whatever else prints writes to the error stream from here on, and whatever else reads is at the end.
    """
    source, sink = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return source, sink
