"""A process that does jobs, one after the other: a line of JSON for each, and a line with its outcome.

    {"command": "quantize", "models": ["/a.tflite"], ...}   -->   {"status": "done", "exit_code": 0, ...}

What anything else prints goes to the error stream. It ends when its input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading

from fullint.fleets.cache import Cache
from fullint.fleets.jobs import Job
from fullint.fleets.perform import perform
from fullint.runtime.pipes import own_pipes
from fullint.runtime.spawn import end_with_input, kept_warm

_WORKERS = 2
"""Processes that run models, which go from job to job."""


def main() -> None:
    """Serve. Arguments of the command line: the cache's folder, or nothing; "force" to overwrite outputs; cores to keep to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what ends
    folder, force, cores = sys.argv[1:]
    if cores:
        with contextlib.suppress(OSError):  # of a core that was taken away meanwhile
            os.sched_setaffinity(0, map(int, cores.split(",")))
    cache = Cache(folder) if folder else None
    asked, answered = own_pipes()
    source, sink = os.fdopen(asked, "r", encoding="utf-8"), os.fdopen(answered, "w", encoding="utf-8")
    threading.Thread(target=end_with_input, args=(asked,), daemon=True).start()
    with kept_warm(_WORKERS):
        for line in source:
            given = json.loads(line)
            job = Job(given["command"], tuple(given["models"]), given["output"], given["options"])
            sink.write(json.dumps(perform(job, cache, force=bool(force)).plain(), default=str) + "\n")
            sink.flush()
