"""Running models, worker's side.

Some models crash the runtime, so nothing runs in the user's process: `process.WorkerProcess` starts this module's `main` in
a child process and communicates with it over two pipes, one pickled message (`messages`) after another. The answer to a
message is (True, result) or (False, error message).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from fullint.errors import FullintError
from fullint.limits import Limits
from fullint.model.ir import Array
from fullint.runtime import messages
from fullint.runtime.interpreter import invoke, open_interpreter
from fullint.runtime.pipes import own_pipes
from fullint.runtime.sample_runner import SampleError, SampleRunner
from fullint.runtime.steps import Steps
from fullint.runtime.watch import Parent, Watch

SAMPLES_AHEAD = 4
USUAL_STACK, LARGE_STACK = 2**23, 2**26
"""Bytes of a thread's stack."""
DELEGATE_NODE = "DELEGATE"
"""The interpreter's name for a delegate's node."""


class Worker:
    """Answers messages; `HANDLERS` maps each message to its method."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.runner: Any = None
        self.samples: SampleRunner | None = None
        self.steps = Steps(watch)
        self.benchmark: Any = None
        """Answers a benchmark's messages; created with the first one."""

    def answer(self, message: Any) -> Any:
        handler = HANDLERS.get(type(message))
        if handler is not None:
            return handler(self, message)
        if self.benchmark is None:
            from fullint.runtime.benchmark_worker import BenchmarkWorker

            self.benchmark = BenchmarkWorker(self.watch)
        return self.benchmark.answer(message)

    def open(self, m: messages.Open) -> None:
        self.runner = None  # frees the old model's memory first
        with self.watch.loading(m.path, m.kernels):
            self.runner = open_interpreter(m.path, m.kernels, m.threads, m.shapes)

    def run(self, m: messages.Run) -> list[Array]:
        with self.watch.run():
            invoke(self.runner, m.arrays)
        return [self.runner.get_tensor(d["index"]) for d in self.runner.get_output_details()]

    def delegate_nodes(self, m: messages.DelegateNodes) -> list[tuple[list[int], list[int]]]:
        with self.watch.loading(m.path, "xnnpack"):
            details = open_interpreter(m.path, "xnnpack", 1)._get_ops_details()
        return [(list(map(int, d["inputs"])), list(map(int, d["outputs"]))) for d in details if d["op_name"] == DELEGATE_NODE]

    def latency(self, m: messages.Latency) -> list[float]:
        with self.watch.run():
            invoke(self.runner, m.arrays)
        seconds = []
        for _ in range(m.runs):
            with self.watch.run():
                start = time.perf_counter()
                self.runner.invoke()
                seconds.append(time.perf_counter() - start)
        return seconds

    def tensor_shapes(self, m: messages.TensorShapes) -> list[tuple[int, ...]]:
        with self.watch.loading(m.path, "builtin"):
            runner = open_interpreter(m.path, "builtin", 1, m.shapes)
        details = runner.get_input_details()
        with self.watch.run():
            invoke(runner, [np.zeros(d["shape"], d["dtype"]) for d in details])
        found = {d["index"]: tuple(int(n) for n in d["shape"]) for d in runner.get_tensor_details()}
        return [found.get(i, ()) for i in range(max(found, default=-1) + 1)]

    def declared(self, m: messages.Declared) -> list[messages.LoadedTensor]:
        with self.watch.loading(m.path, "builtin"):
            runner = open_interpreter(m.path, "builtin", 1)
        found: dict[int, messages.LoadedTensor] = {
            d["index"]: (tuple(map(int, d["shape"])), _type_name(d["dtype"])) for d in runner.get_tensor_details()
        }
        return [found.get(i, (None, "")) for i in range(max(found, default=-1) + 1)]

    def measure(self, m: messages.Measure) -> None:
        interpreters, threads = (1, m.threads) if m.together else (m.threads, 1)
        self.samples = SampleRunner(m.path, interpreters, threads, m.accumulator, self.watch)

    def sample(self, m: messages.Sample) -> None:
        if self.samples is None:
            raise RuntimeError("a sample was sent, but no measurement was started")
        self.samples.put(m.index, m.arrays)

    def finish_measuring(self, m: messages.FinishMeasuring) -> messages.Accumulator:
        if self.samples is None:
            raise RuntimeError("no measurement was started")
        samples, self.samples = self.samples, None
        return samples.finish()

    def put(self, m: messages.Put) -> None:
        self.steps.put(m.values)

    def advance(self, m: messages.Advance) -> None:
        self.steps.advance(m.path, m.takes, m.gives, m.drops, m.threads)

    def look(self, m: messages.Look) -> Any:
        return self.steps.look(m.key, m.function)


HANDLERS: dict[type[Any], Callable[[Worker, Any], Any]] = {
    messages.Open: Worker.open,
    messages.Run: Worker.run,
    messages.Latency: Worker.latency,
    messages.DelegateNodes: Worker.delegate_nodes,
    messages.TensorShapes: Worker.tensor_shapes,
    messages.Declared: Worker.declared,
    messages.Measure: Worker.measure,
    messages.Sample: Worker.sample,
    messages.FinishMeasuring: Worker.finish_measuring,
    messages.Put: Worker.put,
    messages.Advance: Worker.advance,
    messages.Look: Worker.look,
}


def main() -> None:
    """Answer messages from standard input until it ends. A terminal's interrupt goes to the parent, which decides what ends.

    Arguments of the command line: the limits, and what is known of the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _take_small_stacks()
    memory, seconds, pid, token, temporary = sys.argv[1:]
    parent = Parent(int(pid), token, temporary, hasattr(os, "getppid") and os.getppid() == int(pid))
    asked, answered = own_pipes()  # the runtime's prints must not mix with the answers
    source, sink = os.fdopen(asked, "rb"), os.fdopen(answered, "wb")
    watch = Watch(Limits.parse(memory, seconds), parent, asked)
    import ai_edge_litert.interpreter  # noqa: F401 - loaded while the parent prepares its first message

    with contextlib.suppress(BrokenPipeError):  # nobody is there to be answered
        serve(source, sink, watch)
    watch.leave()


def _take_small_stacks() -> None:
    """Start this process again with a usual size of stacks, where threads' stacks are so large that they count as much memory."""
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != resource.RLIM_INFINITY and soft > LARGE_STACK:
        resource.setrlimit(resource.RLIMIT_STACK, (USUAL_STACK, hard))
        os.execv(sys.executable, sys.orig_argv)


def serve(source: BinaryIO, sink: BinaryIO, watch: Watch) -> None:
    """The main loop: read a message, handle it, and answer it; samples have no answer.

    A thread reads messages ahead, so that the parent does not block on sending while this side blocks on answering. At most
    `SAMPLES_AHEAD` samples are read ahead, to limit memory.
    """
    waiting: queue.Queue[Any] = queue.Queue()
    room = threading.Semaphore(SAMPLES_AHEAD)
    threading.Thread(target=_read, args=(source, waiting, room), daemon=True).start()
    worker = Worker(watch)
    failure: messages.Failed | None = None
    while (message := waiting.get()) is not None:
        reply: tuple[bool, Any]
        try:
            reply = (True, worker.answer(message))
        except Exception as e:  # the parent raises it
            reply = (False, messages.Failed(_message(e), (e.sample, e.arrays) if isinstance(e, SampleError) else None))
        if isinstance(message, messages.Sample):
            room.release()
            failure = failure or (None if reply[0] else reply[1])
            continue
        if failure is not None:
            reply, failure = (False, failure), None
        pickle.dump(reply, sink, protocol=5)
        sink.flush()


def _read(source: BinaryIO, waiting: queue.Queue[Any], room: threading.Semaphore) -> None:
    while True:
        try:
            message = pickle.load(source)
            if isinstance(message, messages.Sample):
                room.acquire()
            waiting.put(message)
        except (EOFError, pickle.UnpicklingError):
            waiting.put(None)
            return


def _message(error: BaseException) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a name of an input, output or signature is no UTF-8, which LiteRT's Python package cannot read"
    return f"{type(error).__name__}: {error}" if not isinstance(error, RuntimeError | ValueError | FullintError) else str(error)


def _type_name(dtype: Any) -> str:
    return "" if dtype in (np.bytes_, np.object_) else np.dtype(dtype).name
