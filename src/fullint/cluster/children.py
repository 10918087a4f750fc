"""Child processes of a Dask worker: one that has answered waits a while for the next task.

    task 1 --> a new child (0.7 s) --> answer       the child waits
    task 2 --> the same child      --> answer       nobody comes for IDLE_SECONDS: it is ended

They belong to the worker, so they end with it, whose end of their input is closed then.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from fullint.errors import RuntimeFailure
from fullint.runtime.spawn import Child, start

_CHILD = "fullint.cluster.child"
AGAIN, LAST = b"a", b"l"
"""How an answer begins: whether its child serves again."""
IDLE_SECONDS = 10.0


class _Waiting(NamedTuple):
    child: Child
    end: threading.Timer


class Children:
    """Children that answer tasks, one task each at a time.

    Args:
        most: that wait for the next task.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}

    def answer(self, function: str, payload: bytes) -> bytes:
        """What a child answers.

        Args:
            function: module:name, of fullint.
            payload: its pickled argument.

        Raises:
            RuntimeFailure: the child has ended.
        """
        child = self._taken() or start(_CHILD, ())
        found, again = _asked(child, function, payload)
        if found is None:
            said = child.account()
            child.end()
            raise RuntimeFailure(f"the process that did it {said}")
        if not (again and self._put_by(child)):
            child.end()
        return found

    def _taken(self) -> Child | None:
        with self._lock:
            while self._waiting:
                _, (child, end) = self._waiting.popitem()
                end.cancel()
                if child.process.poll() is None:
                    return child
                child.end()
        return None

    def _put_by(self, child: Child) -> bool:
        with self._lock:
            if len(self._waiting) >= self.most:
                return False
            end = threading.Timer(IDLE_SECONDS, self._let_go, [child.process.pid])
            end.daemon = True
            child.log.seek(0)
            child.log.truncate()
            self._waiting[child.process.pid] = _Waiting(child, end)
            end.start()
        return True

    def _let_go(self, pid: int) -> None:
        with self._lock:
            waiting = self._waiting.pop(pid, None)
        if waiting is not None:
            waiting.child.end()


def of_this_worker() -> Children:
    """Those of the Dask worker whose task runs here, which holds them as Dask has it: as an attribute."""
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # not in a task: nobody comes after this one
        return Children(0)
    found: Children = vars(worker).setdefault("fullint_children", Children(worker.state.nthreads))
    return found


def _asked(child: Child, function: str, payload: bytes) -> tuple[bytes | None, bool]:
    """A child's answer, if there is one, and whether it serves again."""
    source, sink = child.process.stdin, child.process.stdout
    assert source is not None and sink is not None
    try:
        source.write(function.encode() + b"\n" + len(payload).to_bytes(8, "big"))
        source.write(payload)
        source.flush()
        begin = sink.read(9)
        size = int.from_bytes(begin[1:], "big")
        found = sink.read(size)
    except OSError:  # it has ended
        return None, False
    return (found, begin[:1] == AGAIN) if found and len(found) == size else (None, False)
