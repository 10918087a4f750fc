"""A process that calls one function of fullint with what comes on its input, and writes what it returns."""

from __future__ import annotations

import os
import pickle
import sys
import threading
from importlib import import_module
from typing import Any

from fullint.cluster.tasks import Failure
from fullint.errors import FullintError, RuntimeFailure, message_of
from fullint.runtime.spawn import end_with_input


def main() -> None:
    """Serve once. Argument of the command line: module:name."""
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    payload = source.read(int.from_bytes(source.read(8), "big"))
    threading.Thread(target=end_with_input, args=(source.fileno(),), daemon=True).start()
    module, _, name = sys.argv[1].partition(":")
    answer: Any
    try:
        answer = getattr(import_module(module), name)(pickle.loads(payload))
    except FullintError as e:
        answer = Failure.of(e)
    except Exception as e:
        answer = Failure.of(RuntimeFailure(message_of(e)))
    data = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
    sink.write(len(data).to_bytes(8, "big"))
    sink.write(data)
    sink.flush()
