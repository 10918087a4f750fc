"""What runs on a worker of the cluster: a function of fullint, in a process of its own.

    run_here("fullint.calibration.shards:measure_shard", payload)  -->  child: measure_shard(payload)  -->  its answer

The worker only holds the pipes. A crash in the runtime ends the child and not the worker, and a worker that is killed takes the
child with it, whose input is closed. An answer is pickled: what the function returns, or why it does not.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fullint import errors
from fullint.cluster.children import of_this_worker
from fullint.errors import FullintError, RuntimeFailure, UsageError, message_of


class Failure(NamedTuple):
    """An error that crosses the network: its class, by name, and its text."""

    kind: str
    text: str

    @classmethod
    def of(cls, error: FullintError) -> Failure:
        """What is told of an error."""
        return cls(type(error).__name__, str(error))

    def error(self) -> FullintError:
        """The same error again, with nothing but its text."""
        kind: type[FullintError] = getattr(errors, self.kind)
        made = kind.__new__(kind)
        Exception.__init__(made, self.text)
        return made


def versions_here() -> dict[str, str]:
    """Releases that results depend on."""
    import numpy as np

    from fullint.runtime.litert_release import installed
    from fullint.version import __version__

    return {"fullint": __version__, "LiteRT": installed(), "NumPy": np.__version__}


def difference(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """Which releases a worker has that are not those of this process; "" where all are the same."""
    return ", ".join(f"{name} {there.get(name) or 'none'}, not {own}" for name, own in here.items() if there.get(name) != own)


def unreadable_here(paths: Sequence[str]) -> list[str]:
    """Those of some paths that this worker cannot read."""
    return [path for path in paths if not Path(path).exists() or not os.access(path, os.R_OK)]


def run_here(function: str, payload: bytes, versions: Mapping[str, str]) -> bytes:
    """Call a function with a pickled argument; the pickled answer is its result, or a `Failure`.

    Nothing is raised: an error whose traceback cannot be pickled would be lost on the way, and be waited for without end.

    Args:
        function: module:name, of fullint.
        payload: its argument.
        versions: that the caller has.
    """
    try:
        if differs := difference(versions, versions_here()):
            raise UsageError(f"a worker has {differs}")
        return of_this_worker().answer(function, payload)
    except FullintError as e:
        return pickle.dumps(Failure.of(e))
    except Exception as e:
        return pickle.dumps(Failure.of(RuntimeFailure(f"a worker failed: {message_of(e)}")))


def answered(answer: bytes) -> Any:
    """The result that an answer holds.

    Raises:
        FullintError: there is none.
    """
    found = pickle.loads(answer)
    if isinstance(found, Failure):
        raise found.error()
    return found
