"""A process that calls functions of fullint with what comes on its input, one after the other, and writes what they return.

    module:name, a line's end, size, pickled argument   -->   AGAIN or LAST, size, pickled answer

It ends when its input does, or when a task has failed.
"""

from __future__ import annotations

import os
import pickle
import threading
from importlib import import_module
from typing import Any

from fullint.cluster.children import AGAIN, LAST
from fullint.cluster.tasks import Failure
from fullint.errors import FullintError, RuntimeFailure, message_of
from fullint.runtime.pipes import own_pipes
from fullint.runtime.spawn import end_with_input, kept_warm

_WORKERS = 2
"""Processes that run models, which go from task to task."""
_MOST_TASKS = 100
"""Then it ends, so that memory which packages hold on to does not pile up."""


def main() -> None:
    """Serve, until a task fails or the input ends."""
    asked, answered = own_pipes()
    source, sink = os.fdopen(asked, "rb"), os.fdopen(answered, "wb")
    threading.Thread(target=end_with_input, args=(asked,), daemon=True).start()
    with kept_warm(_WORKERS):
        for left in reversed(range(_MOST_TASKS)):
            function = source.readline().decode().strip()
            if not function:
                return
            answer = _answer(function, source.read(int.from_bytes(source.read(8), "big")))
            again = left > 0 and not isinstance(answer, Failure)
            data = pickle.dumps(answer, protocol=pickle.HIGHEST_PROTOCOL)
            sink.write((AGAIN if again else LAST) + len(data).to_bytes(8, "big"))
            sink.write(data)
            sink.flush()
            if not again:
                return


def _answer(function: str, payload: bytes) -> Any:
    """What a function makes of a pickled argument; or why it makes nothing."""
    module, _, name = function.partition(":")
    try:
        return getattr(import_module(module), name)(pickle.loads(payload))
    except FullintError as e:
        return Failure.of(e)
    except Exception as e:
        return Failure.of(RuntimeFailure(message_of(e)))
