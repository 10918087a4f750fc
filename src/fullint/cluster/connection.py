"""A connection to a Dask scheduler, and calls of fullint's functions on its workers.

    with Cluster("tcp://host:8786") as cluster:
        cluster.each("fullint.calibration.shards:measure_shard", jobs)      number of a job, its result; as they end

Dask runs a task again whose worker was killed. Where the scheduler itself goes away and comes back, what is not done is submitted
again; where it stays away, one sentence says so.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from fullint.cluster.tasks import answered, difference, run_here, unreadable_here, versions_here
from fullint.errors import FullintError, RuntimeFailure, UsageError

CONNECT_SECONDS = 10.0
AWAY_SECONDS = 40.0
"""How long a scheduler may be away, or without workers, before it is given up."""
ANSWER_SECONDS = 5.0
"""How long it may take to tell of its workers."""
POLL_SECONDS = 0.02
TRIES = 3
"""Of a task that a scheduler has lost."""
IN_FLIGHT = 2
"""Tasks for each thread of the workers that are with the scheduler."""


class Cluster:
    """Workers of a Dask cluster.

    Args:
        address: of its scheduler, tcp://HOST:PORT.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.versions = versions_here()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._client: Any = None
        self._threads = 1

    def __enter__(self) -> Cluster:
        self._client = self._connected(CONNECT_SECONDS)
        self._require_versions()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(Exception):  # what is with the workers is worth nothing to anybody
            self._client.close(timeout=2)

    @property
    def threads(self) -> int:
        """Tasks that the workers do at the same time; as last told, where the scheduler tells nothing."""
        told = sum(int(w["nthreads"]) for w in self._workers().values())
        self._threads = told or self._threads
        return self._threads

    def require_readable(self, paths: Sequence[str]) -> None:
        """Raise UsageError where a worker cannot read a path; it names both."""
        for address, missing in self._everywhere(unreadable_here, list(paths)).items():
            if missing:
                raise UsageError(
                    f"worker {address} cannot read {missing[0]}; give a path that all workers see, or leave --shared out"
                )

    def call(self, function: str, argument: Any, ended: threading.Event | None = None) -> Any:
        """What a function makes of an argument, somewhere.

        Args:
            function: module:name, of fullint.
            argument: pickled, it is sent.
            ended: set where nobody waits for it anymore.

        Raises:
            FullintError: what the function has raised; or the worker, or the scheduler, is gone.
        """
        payload = pickle.dumps(argument, protocol=pickle.HIGHEST_PROTOCOL)
        for _ in range(TRIES):
            client = self._client
            with suppress(_Lost):
                return answered(self._awaited(client, function, payload, ended or self._ended))
            self._reconnect(client)
        raise RuntimeFailure(f"{self.address}: the scheduler has lost a task {TRIES} times; look at its log")

    def each(self, function: str, count: int, argument: Callable[[int], Any]) -> Iterator[tuple[int, Any]]:
        """(number, result) of a function of so many arguments, in the order in which they end.

        Args:
            function: module:name, of fullint.
            count: of arguments.
            argument: makes one, by its number, not long before it is needed.
        """
        numbers = iter(range(count))
        running: dict[Future[Any], int] = {}
        ended = threading.Event()
        most = IN_FLIGHT * self.threads
        with ThreadPoolExecutor(most) as pool:
            try:
                while True:
                    while len(running) < most and (number := next(numbers, None)) is not None:
                        running[pool.submit(self.call, function, argument(number), ended)] = number
                    if not running:
                        return
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(future), future.result()
            finally:  # also where the rest is not wanted
                ended.set()

    def _awaited(self, client: Any, function: str, payload: bytes, ended: threading.Event) -> bytes:
        """The answer of a task.

        Raises:
            _Lost: the scheduler went away, and the task with it.
        """
        from distributed.scheduler import KilledWorker

        try:
            future = client.submit(run_here, function, payload, self.versions, pure=False, retries=0)
            while not future.done():
                if client.status != "running" or future.status in ("cancelled", "lost"):
                    raise _Lost
                if ended.wait(POLL_SECONDS) or self._ended.is_set():
                    raise RuntimeFailure("ended")
            if future.status in ("cancelled", "lost"):
                raise _Lost
            found: bytes = future.result(timeout=AWAY_SECONDS)
            return found
        except KilledWorker as e:
            raise RuntimeFailure("the workers that did it were killed, one after the other; is there enough memory?") from e
        except ModuleNotFoundError as e:
            raise UsageError(f"a worker has no fullint: {e}") from e
        except FullintError:
            raise
        except (_Lost, OSError, TimeoutError) as e:
            raise _Lost from e
        except Exception as e:
            if type(e).__module__.startswith(("distributed", "dask", "concurrent", "asyncio", "tornado")):
                raise _Lost from e
            raise RuntimeFailure(f"a worker failed: {type(e).__name__}: {e}") from e

    def _reconnect(self, lost: Any) -> None:
        """A new connection in the place of one that was lost, unless another thread has made one."""
        with self._lock:
            if self._client is not lost:
                return
            with suppress(Exception):
                lost.close(timeout=1)
            self._client = self._connected(AWAY_SECONDS)
            self._require_versions()

    def _connected(self, seconds: float) -> Any:
        """A client with at least one worker.

        Raises:
            UsageError: there is no scheduler, or no worker, or no package for them.
        """
        try:
            import distributed
        except ImportError as e:
            raise UsageError("a cluster needs the package distributed: pip install fullint[dask]") from e
        connect: Any = distributed.Client
        end = time.monotonic() + seconds
        why = "no scheduler answers"
        while not self._ended.is_set():
            left = max(end - time.monotonic(), 0.1)
            try:
                client = connect(self.address, timeout=min(left, CONNECT_SECONDS), set_as_default=False)
            except ValueError as e:
                raise UsageError(f"{self.address}: not an address of a scheduler, such as tcp://HOST:PORT ({e})") from e
            except Exception:
                why = "no scheduler answers"
            else:
                with suppress(Exception):
                    client.wait_for_workers(1, timeout=max(end - time.monotonic(), 0.1))
                    return client
                why = "the scheduler has no worker"
                with suppress(Exception):
                    client.close(timeout=1)
            if time.monotonic() >= end:
                raise UsageError(f"{self.address}: {why} within {seconds:.0f} s")
            time.sleep(0.2)
        raise RuntimeFailure("ended")

    def _workers(self) -> dict[str, Any]:
        """What the scheduler tells of its workers, by address; nothing where it does not answer soon."""
        asked: Future[Any] = Future()
        threading.Thread(target=_ask_for_workers, args=(self._client, asked), daemon=True).start()
        with suppress(Exception):
            found: dict[str, Any] = asked.result(ANSWER_SECONDS).get("workers", {})
            return found
        return {}

    def _everywhere(self, function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """What each worker answers, by its address."""
        found: dict[str, Any] = self._client.run(function, *arguments, on_error="return")
        for address, answer in found.items():
            if isinstance(answer, ModuleNotFoundError):
                raise UsageError(f"worker {address} has no fullint: {answer}")
            if isinstance(answer, BaseException):
                raise RuntimeFailure(f"worker {address} failed: {answer}")
        return found

    def _require_versions(self) -> None:
        for address, there in self._everywhere(versions_here).items():
            differs = difference(self.versions, there)
            if differs:
                raise UsageError(
                    f"worker {address} has {differs}; install the same releases on all, so that results are the same"
                )


def _ask_for_workers(client: Any, asked: Future[Any]) -> None:
    """Ask a scheduler for its workers. The client waits for one that is gone, for ten seconds or more: nobody has to."""
    try:
        try:
            told = client.scheduler_info(n_workers=-1)
        except TypeError:  # an older release tells all
            told = client.scheduler_info()
        asked.set_result(told)
    except Exception as e:
        asked.set_exception(e)


class _Lost(Exception):
    """A task that the scheduler knows nothing of anymore."""
