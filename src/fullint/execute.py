"""Running models: the child process's side. The only module that imports the interpreter.

Some models crash the runtime, so nothing runs in the user's process: `sandbox.Sandbox` starts this
module's `main` in a process of its own and speaks to it over two pipes, one pickled (command,
arguments) after another. Each command is a method of `Child`; its return value, or the error it
raised, is the reply.
"""

from __future__ import annotations

import os
import pickle
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fullint.errors import FullintError
from fullint.model.ir import Array

SAMPLES_AHEAD = 4
_RESOLVERS = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


def open_interpreter(path: str, kernels: str, threads: int, shapes: Sequence[Sequence[int]] | None = None) -> Any:
    """An allocated interpreter on one kernel set.

    Args:
        path: the model's file.
        kernels: "xnnpack", "builtin" or "reference".
        threads: threads of one inference.
        shapes: shape of each graph input, where it differs from the file's.
    """
    from ai_edge_litert import interpreter as litert

    resolver = getattr(litert.OpResolverType, _RESOLVERS[kernels])
    runner = litert.Interpreter(path, experimental_op_resolver_type=resolver, num_threads=threads)
    for detail, shape in zip(runner.get_input_details(), shapes or (), strict=False):
        if tuple(detail["shape"]) != tuple(shape):
            runner.resize_tensor_input(detail["index"], list(shape))
    runner.allocate_tensors()
    return runner


def invoke(runner: Any, arrays: Sequence[Array]) -> None:
    """Set the inputs, in graph order, and run."""
    for detail, array in zip(runner.get_input_details(), arrays, strict=True):
        runner.set_tensor(detail["index"], array)
    runner.invoke()


class Child:
    """The commands a child process takes."""

    def __init__(self) -> None:
        self.runner: Any = None
        self.statistics: _Statistics | None = None
        self.chain: list[Any] = []
        self.profiled: list[Any] = []
        self.seen: list[list[Any]] = []

    def open(self, path: str, kernels: str, threads: int, shapes: Any = None) -> None:
        """Load a model to be run by `run`."""
        self.runner = None  # the old model's memory first
        self.runner = open_interpreter(path, kernels, threads, shapes)

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """One inference; the outputs in graph order."""
        invoke(self.runner, arrays)
        return [self.runner.get_tensor(d["index"]) for d in self.runner.get_output_details()]

    def delegated(self, path: str) -> list[tuple[list[int], list[int]]]:
        """(inputs, outputs) of each node XNNPACK has in the graph that runs, as tensor indices."""
        details = open_interpreter(path, "xnnpack", 1)._get_ops_details()
        return [(list(map(int, d["inputs"])), list(map(int, d["outputs"]))) for d in details if d["op_name"] == "DELEGATE"]

    def latency(self, arrays: Sequence[Array], runs: int) -> list[float]:
        """Seconds of each of `runs` inferences of the open model, after one that does not count."""
        invoke(self.runner, arrays)
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            self.runner.invoke()
            seconds.append(time.perf_counter() - start)
        return seconds

    def shapes(self, path: str, shapes: Any = None) -> list[tuple[int, ...]]:
        """The shape every tensor of the main graph has once the inputs have theirs."""
        runner = open_interpreter(path, "builtin", 1, shapes)
        details = runner.get_input_details()
        invoke(runner, [np.zeros(d["shape"], d["dtype"]) for d in details])
        found = {d["index"]: tuple(int(n) for n in d["shape"]) for d in runner.get_tensor_details()}
        return [found.get(i, ()) for i in range(max(found, default=-1) + 1)]

    def native_open(self, paths: Sequence[str], kernels: str, threads: int, profiling: bool) -> tuple[float, list[Any]]:
        """Compile models that run one after the other, by LiteRT's C API; (seconds, shapes and types of their inputs)."""
        from fullint.native import Native

        chain = [Native(path, kernels, threads, profiling=profiling) for path in paths]
        if profiling:
            self.profiled, self.seen = chain, [[] for _ in chain]
        else:
            self.chain = chain
        return sum(n.init_seconds for n in chain), [n.shapes() for n in chain]

    def plain_open(self, path: str, kernels: str, threads: int, library: str | None, options: Any) -> tuple[float, list[Any]]:
        """The same of one model in the interpreter, which has no profiler, but external delegates."""
        self.chain = [_Plain(path, kernels, threads, library, options)]
        return self.chain[0].init_seconds, [self.chain[0].shapes()]

    def native_fill(self, arrays: Sequence[Sequence[Array]]) -> None:
        """Put inputs in the buffers of each model, of those with the profiler too."""
        for chain in filter(None, (self.chain, self.profiled)):
            for model, values in zip(chain, arrays, strict=True):
                model.fill(values)

    def native_loop(self, runs: int, least: float, most: float, delay: float = 0.0) -> list[float]:
        """Seconds of each run of all models: at least `runs` and `least` seconds of them, at most `most` seconds."""
        found: list[float] = []
        spent = 0.0
        while (len(found) < runs or spent < least) and spent < most:
            if delay > 0:
                time.sleep(delay)
            found.append(sum([model.run() for model in self.chain]))
            spent += found[-1]
        return found

    def native_profile(self, runs: int, keep: bool = True) -> float:
        """Runs of the models with the profiler; seconds of one. `keep`: count them in."""
        start = time.perf_counter()
        for model, seen in zip(self.profiled, self.seen, strict=True):
            ends, seconds = [0], []
            model.start()
            for _ in range(runs):
                seconds.append(model.run())
                ends.append(model.kept())
            events = model.events()
            if keep:
                seen += [(events[a:b], s) for a, b, s in zip(ends, ends[1:], seconds, strict=False)]
        return (time.perf_counter() - start) / runs

    def native_profiled(self) -> list[tuple[list[tuple[Any, ...]], list[float], float]]:
        """For each model (rows in order of execution, seconds of each run by them, mean of the seconds by the clock)."""
        from fullint.native import summed

        return [(*summed([e for e, _ in seen]), float(np.mean([s for _, s in seen]))) for seen in self.seen]

    def native_memory(self) -> int:
        """Resident bytes of this process."""
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
        except OSError:
            return 0  # the system does not tell
        return pages * os.sysconf("SC_PAGE_SIZE")

    def measure(self, path: str, threads: int, keep: int = 0, together: bool = False) -> None:
        """Start gathering minima and maxima of the model's first output (see `calibrate`).

        The last output is kept as it is for samples of an index below `keep`. `together`: all threads
        work on one sample after the other, instead of each on a sample of its own.
        """
        self.statistics = _Statistics(path, 1 if together else threads, threads if together else 1, keep)

    def sample(self, index: int, arrays: Sequence[Array]) -> None:
        """Run one sample; `measured` says what came of it."""
        assert self.statistics is not None
        self.statistics.put(index, arrays)

    def measured(self) -> tuple[Array, Array, tuple[int, int] | None, Array]:
        """(minima, maxima, first (sample, position) that was not finite, kept vectors in sample order)."""
        assert self.statistics is not None
        statistics, self.statistics = self.statistics, None
        return statistics.finish()


class _Plain:
    """A model in the interpreter, perhaps with a delegate from a library; speaks as `Native` does."""

    def __init__(self, path: str, kernels: str, threads: int, library: str | None, options: dict[str, str]) -> None:
        from ai_edge_litert import interpreter as litert

        start = time.perf_counter()
        if library is None:
            self.runner = open_interpreter(path, kernels, threads)
        else:
            try:
                self.delegate = litert.load_delegate(library, options)
            except (OSError, ValueError) as e:
                raise RuntimeError(f"the delegate {library} does not load: {str(e) or 'it refuses its options'}") from e
            self.runner = litert.Interpreter(path, num_threads=threads, experimental_delegates=[self.delegate])
            self.runner.allocate_tensors()
        self.init_seconds = time.perf_counter() - start

    def shapes(self) -> list[tuple[tuple[int, ...], str]]:
        return [(tuple(map(int, d["shape"])), np.dtype(d["dtype"]).name) for d in self.runner.get_input_details()]

    def fill(self, arrays: Sequence[Array]) -> None:
        for detail, array in zip(self.runner.get_input_details(), arrays, strict=True):
            self.runner.set_tensor(detail["index"], array)

    def run(self) -> float:
        start = time.perf_counter()
        self.runner.invoke()
        return time.perf_counter() - start


class _Statistics:
    """Interpreters with threads of their own.

    One interpreter per thread scales best; but a large network's weights are packed by each, so that
    there one interpreter with all threads is as quick and takes half the memory.
    """

    def __init__(self, path: str, interpreters: int, threads: int, keep: int) -> None:
        self.each = threads
        self.keep = keep
        self.work: queue.Queue[tuple[int, Sequence[Array]] | None] = queue.Queue(maxsize=interpreters)
        self.results: list[_Extremes] = [_Extremes() for _ in range(interpreters)]
        self.error: BaseException | None = None
        first = open_interpreter(path, "xnnpack", threads)
        self.threads = [
            threading.Thread(target=self._loop, args=(path, r, first if i == 0 else None), daemon=True)
            for i, r in enumerate(self.results)
        ]
        for t in self.threads:
            t.start()

    def put(self, index: int, arrays: Sequence[Array]) -> None:
        if self.error is not None:
            raise self.error
        self.work.put((index, arrays))

    def _loop(self, path: str, result: _Extremes, runner: Any) -> None:
        while (item := self.work.get()) is not None:
            if self.error is not None:
                continue
            try:
                runner = runner or open_interpreter(path, "xnnpack", self.each)
                invoke(runner, item[1])
                details = runner.get_output_details()
                result.add(item[0], runner.get_tensor(details[0]["index"]))
                if item[0] < self.keep:
                    result.kept[item[0]] = runner.get_tensor(details[-1]["index"])
            except Exception as e:  # handed to the parent by the next command
                self.error = e

    def finish(self) -> tuple[Array, Array, tuple[int, int] | None, Array]:
        for _ in self.threads:
            self.work.put(None)
        for t in self.threads:
            t.join()
        if self.error is not None:
            raise self.error
        seen = [r for r in self.results if r.low is not None]
        low = np.min([r.low for r in seen if r.low is not None], axis=0)
        high = np.max([r.high for r in seen if r.high is not None], axis=0)
        bad = min((r.bad for r in seen if r.bad is not None), default=None)
        kept = {index: value for r in seen for index, value in r.kept.items()}
        return low, high, bad, np.array([kept[i] for i in sorted(kept)])


class _Extremes:
    """Running minimum and maximum of a vector, and the first value that was not a number."""

    def __init__(self) -> None:
        self.low: Array | None = None
        self.high: Array | None = None
        self.bad: tuple[int, int] | None = None
        self.kept: dict[int, Array] = {}

    def add(self, index: int, values: Array) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            found = (index, int(np.argmin(finite)))
            self.bad = found if self.bad is None else min(self.bad, found)
        self.low = values.copy() if self.low is None else np.minimum(self.low, values)
        self.high = values.copy() if self.high is None else np.maximum(self.high, values)


def main() -> None:
    """Serve commands from standard input until it ends."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the runtime prints must not get between the replies
    import ai_edge_litert.interpreter  # noqa: F401 - loaded while the parent makes up its first command

    serve(source, sink)


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """The loop: read a command, do it, reply. "sample" has no reply.

    Commands are read ahead by a thread, so that the parent is not stuck sending while this side is
    stuck replying; only so many samples ahead, so that they do not pile up.
    """
    commands: queue.Queue[tuple[str, tuple[Any, ...]] | None] = queue.Queue()
    room = threading.Semaphore(SAMPLES_AHEAD)
    threading.Thread(target=_read, args=(source, commands, room), daemon=True).start()
    child = Child()
    failure: str | None = None
    while (item := commands.get()) is not None:
        command, arguments = item
        reply: tuple[bool, Any]
        try:
            reply = (True, getattr(child, command)(*arguments))
        except Exception as e:  # the parent raises it
            reply = (False, _message(e))
        if command == "sample":
            room.release()
            failure = failure or (None if reply[0] else reply[1])
            continue
        if failure is not None:
            reply, failure = (False, failure), None
        pickle.dump(reply, sink, protocol=5)
        sink.flush()


def _read(source: BinaryIO, commands: queue.Queue[Any], room: threading.Semaphore) -> None:
    while True:
        try:
            item = pickle.load(source)
            if item[0] == "sample":
                room.acquire()
            commands.put(item)
        except (EOFError, pickle.UnpicklingError):
            commands.put(None)
            return


def _message(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, RuntimeError | ValueError | FullintError) else str(error)
