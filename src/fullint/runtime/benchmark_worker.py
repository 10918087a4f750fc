"""The worker's side of a benchmark: runs and profiles models in LiteRT's C API or in the interpreter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fullint.runtime import benchmark_messages as messages
from fullint.runtime.interpreter import PlainModel
from fullint.runtime.litert_c_api import Native, summed
from fullint.runtime.watch import Watch


class BenchmarkWorker:
    """Answers a benchmark's messages; `BENCHMARK_HANDLERS` maps each message to its method."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.chain: list[Any] = []
        self.profiled: list[Any] = []
        self.seen: list[list[Any]] = []

    def answer(self, message: Any) -> Any:
        return BENCHMARK_HANDLERS[type(message)](self, message)

    def open_compiled(self, m: messages.OpenCompiled) -> messages.Opened:
        chain = []
        for path in m.paths:
            with self.watch.loading(path, m.kernels):
                chain.append(Native(path, m.kernels, m.threads, profiling=m.profiling))
        if m.profiling:
            self.profiled, self.seen = chain, [[] for _ in chain]
        else:
            self.chain = chain
        return sum(n.init_seconds for n in chain), [n.shapes() for n in chain]

    def open_plain(self, m: messages.OpenPlain) -> messages.Opened:
        with self.watch.loading(m.path, m.kernels):
            self.chain = [PlainModel(m.path, m.kernels, m.threads, m.library, dict(m.options))]
        return self.chain[0].init_seconds, [self.chain[0].shapes()]

    def fill(self, m: messages.Fill) -> None:
        for chain in filter(None, (self.chain, self.profiled)):
            for model, values in zip(chain, m.arrays, strict=True):
                model.fill(values)

    def loop(self, m: messages.Loop) -> list[float]:
        found: list[float] = []
        spent = 0.0
        while (len(found) < m.runs or spent < m.least) and spent < m.most:
            if m.delay > 0:
                time.sleep(m.delay)
            with self.watch.run():
                found.append(sum([model.run() for model in self.chain]))
            spent += found[-1]
        return found

    def profile_runs(self, m: messages.ProfileRuns) -> float:
        start = time.perf_counter()
        for model, seen in zip(self.profiled, self.seen, strict=True):
            ends, seconds = [0], []
            model.start()
            for _ in range(m.runs):
                with self.watch.run():
                    seconds.append(model.run())
                ends.append(model.kept())
            events = model.events()
            if m.keep:
                seen += [(events[a:b], s) for a, b, s in zip(ends, ends[1:], seconds, strict=False)]
        return (time.perf_counter() - start) / m.runs

    def profiles(self, m: messages.Profiles) -> list[messages.Profile]:
        return [(*summed([e for e, _ in seen]), float(np.mean([s for _, s in seen]))) for seen in self.seen]

    def memory(self, m: messages.Memory) -> int:
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
        except OSError:
            return 0  # not available on this system
        return pages * os.sysconf("SC_PAGE_SIZE")


BENCHMARK_HANDLERS: dict[type[Any], Callable[[BenchmarkWorker, Any], Any]] = {
    messages.OpenCompiled: BenchmarkWorker.open_compiled,
    messages.OpenPlain: BenchmarkWorker.open_plain,
    messages.Fill: BenchmarkWorker.fill,
    messages.Loop: BenchmarkWorker.loop,
    messages.ProfileRuns: BenchmarkWorker.profile_runs,
    messages.Profiles: BenchmarkWorker.profiles,
    messages.Memory: BenchmarkWorker.memory,
}
