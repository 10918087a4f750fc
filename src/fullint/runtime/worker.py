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
from fullint.runtime.interpreter import PlainModel, invoke, open_interpreter
from fullint.runtime.range_accumulator import RangeAccumulator

SAMPLES_AHEAD = 4


class Child:
    """The commands a child process takes."""

    def __init__(self) -> None:
        self.runner: Any = None
        self.statistics: RangeAccumulator | None = None
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
        from fullint.runtime.litert_c_api import Native

        chain = [Native(path, kernels, threads, profiling=profiling) for path in paths]
        if profiling:
            self.profiled, self.seen = chain, [[] for _ in chain]
        else:
            self.chain = chain
        return sum(n.init_seconds for n in chain), [n.shapes() for n in chain]

    def plain_open(self, path: str, kernels: str, threads: int, library: str | None, options: Any) -> tuple[float, list[Any]]:
        """The same of one model in the interpreter, which has no profiler, but external delegates."""
        self.chain = [PlainModel(path, kernels, threads, library, options)]
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
        from fullint.runtime.litert_c_api import summed

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
        self.statistics = RangeAccumulator(path, 1 if together else threads, threads if together else 1, keep)

    def sample(self, index: int, arrays: Sequence[Array]) -> None:
        """Run one sample; `measured` says what came of it."""
        assert self.statistics is not None
        self.statistics.put(index, arrays)

    def measured(self) -> tuple[Array, Array, tuple[int, int] | None, Array]:
        """(minima, maxima, first (sample, position) that was not finite, kept vectors in sample order)."""
        assert self.statistics is not None
        statistics, self.statistics = self.statistics, None
        return statistics.finish()


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
