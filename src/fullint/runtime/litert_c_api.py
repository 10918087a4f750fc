"""The part of LiteRT's C API that runs a model with the profiler; only this module knows its functions and layouts.

The wheel's `libLiteRt.so` exports it; ctypes calls it. It runs in a child process (`worker`), since a wrong call ends the
process. Opening the library checks that it has every symbol, and that the structures below have the sizes that the headers
assert for 64-bit platforms; if not, an error says so.

    environment, model, options(CPU, profiling, kernel mode, threads) -> compiled model -> buffers -> run, events

Source: LiteRT, litert/c/*.h (layouts as of August 2026); tried with ai-edge-litert 2.1 to 2.3 on x86-64.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fullint.errors import RuntimeFailure
from fullint.model.ir import Array
from fullint.runtime.litert_release import OLDEST, PACKAGE, TESTED, installed, numbers

DIMS = 8
CPU, WRITE = 1, 1
ELEMENTS = {
    1: "float32",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float16",
    11: "float64",
    16: "uint32",
}
DEFAULT, OPERATOR, DELEGATE_OPERATOR, DELEGATE_PROFILED, TELEMETRY = 1, 2, 4, 8, 32
"""Kinds of profiler events (litert_profiler_event.h)."""
FLAGS = 0x1 | 0x2
"""QS8 and QU8: the interpreter enables them by default, the compiled model does not."""
CUT_OFF = 0.5
"""Microseconds that a delegate's event is too short on average: XNNPACK truncates the difference of two clock readings to whole
microseconds (runtime.c, xnn_get_elapsed_time). The runtime's own events are differences of truncated readings: no bias."""
INVOKE = "Invoke"
KINDS = tuple(1 << i for i in range(10))
TOO_LONG = 10**12
"""Microseconds; a larger value is not a time, but other memory misread as one."""
MODES = {"xnnpack": "delegate", "builtin": "builtin", "reference": "reference"}
SYMBOLS = (
    "LiteRtCreateEnvironment LiteRtCreateModelFromFile LiteRtCreateOptions LiteRtSetOptionsHardwareAccelerators"
    " LiteRtCreateOpaqueOptions LiteRtAddOpaqueOptions LiteRtCreateCompiledModel LiteRtCompiledModelGetProfiler"
    " LiteRtGetModelSignature LiteRtGetNumSignatureInputs LiteRtGetNumSignatureOutputs LiteRtGetSignatureInputTensorByIndex"
    " LiteRtGetSignatureOutputTensorByIndex LiteRtGetRankedTensorType LiteRtGetCompiledModelInputBufferRequirements"
    " LiteRtGetCompiledModelOutputBufferRequirements LiteRtCreateManagedTensorBufferFromRequirements LiteRtLockTensorBuffer"
    " LiteRtUnlockTensorBuffer LiteRtGetTensorBufferSize LiteRtRunCompiledModel LiteRtStartProfiler LiteRtStopProfiler"
    " LiteRtResetProfiler LiteRtGetNumProfilerEvents LiteRtGetProfilerEvents"
).split()


class Layout(ctypes.Structure):
    """LiteRtLayout: rank in the low 7 bits of the first word."""

    _fields_ = (("rank", ctypes.c_uint32), ("dims", ctypes.c_int32 * DIMS), ("strides", ctypes.c_uint32 * DIMS))


class TensorType(ctypes.Structure):
    """LiteRtRankedTensorType."""

    _fields_ = (("element", ctypes.c_int32), ("layout", Layout))


class Event(ctypes.Structure):
    """ProfiledEventData."""

    _fields_ = (
        ("tag", ctypes.c_char_p),
        ("kind", ctypes.c_int),
        ("start", ctypes.c_uint64),
        ("elapsed", ctypes.c_uint64),
        ("begin_memory", ctypes.c_size_t * 3),
        ("end_memory", ctypes.c_size_t * 3),
        ("metadata1", ctypes.c_uint64),
        ("metadata2", ctypes.c_uint64),
        ("source", ctypes.c_int),
    )


_SIZES = ((Layout, 68), (TensorType, 72), (Event, 104))


def library() -> Any:
    """The loaded library.

    Raises:
        RuntimeFailure: it cannot be loaded, lacks a symbol, or the platform has other layouts.
    """
    spec = importlib.util.find_spec("ai_edge_litert")
    folder = Path(spec.submodule_search_locations[0]) if spec is not None and spec.submodule_search_locations else Path()
    name = {"darwin": "libLiteRt.dylib", "win32": "libLiteRt.dll"}.get(sys.platform, "libLiteRt.so")
    try:
        found = ctypes.CDLL(str(folder / name))
    except OSError as e:
        raise RuntimeFailure(f"profiling needs LiteRT's C API, but the wheel's {name} cannot be loaded: {e}") from e
    release = installed()
    if numbers(release) < OLDEST:
        raise RuntimeFailure(f"profiling needs {PACKAGE} {OLDEST[0]}.{OLDEST[1]} or later; {release} is installed")
    missing = [s for s in SYMBOLS if not hasattr(found, s)]
    wrong = [t.__name__ for t, size in _SIZES if ctypes.sizeof(t) != size]
    if missing or wrong:
        what = f"lacks {', '.join(missing[:3])}" if missing else f"has other layouts ({', '.join(wrong)})"
        raise RuntimeFailure(f"profiling needs LiteRT's C API, but {PACKAGE} {release} {what}; {TESTED} are known to work")
    return found


def _unknown() -> str:
    return f"{PACKAGE} {installed()} is installed; {TESTED} are known to work"


class Happening(NamedTuple):
    """A profiler event: `start` and `us` in microseconds; `node` is its index in the subgraph or in the delegate's kernel."""

    tag: str
    kind: int
    start: int
    us: float
    node: int
    subgraph: int


class Native:
    """A compiled model with its input and output buffers."""

    def __init__(self, path: str, kernels: str, threads: int, *, profiling: bool) -> None:
        self.lib = library()
        self.keep: list[Any] = []
        with quiet():
            start = time.perf_counter()
            self.compiled = self._compiled(path, kernels, threads, profiling=profiling)
            self.signature = self._new("LiteRtGetModelSignature", self.model, ctypes.c_size_t(0))
            self.inputs, self.input_types = self._buffers("Input")
            self.outputs, self.output_types = self._buffers("Output")
            self.init_seconds = time.perf_counter() - start
        self.profiler = self._new("LiteRtCompiledModelGetProfiler", self.compiled) if profiling else None

    def _compiled(self, path: str, kernels: str, threads: int, *, profiling: bool) -> Any:
        env = self._new("LiteRtCreateEnvironment", 0, None)
        self.model = self._new("LiteRtCreateModelFromFile", env, path.encode())
        options = self._new("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, CPU)
        self._opaque(options, "runtime_options_string", f"enable_profiling = {str(profiling).lower()}\n")
        self._opaque(options, "xnnpack", f'kernel_mode = "{MODES[kernels]}"\nnum_threads = {threads}\nflags = {FLAGS}\n')
        self.env = env
        return self._new("LiteRtCreateCompiledModel", env, self.model, options)

    def _opaque(self, options: Any, name: str, text: str) -> None:
        payload = ctypes.create_string_buffer(text.encode())
        deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self.keep += [payload, deleter]
        made = ctypes.c_void_p()
        self._call("LiteRtCreateOpaqueOptions", name.encode(), ctypes.cast(payload, ctypes.c_void_p), deleter, ctypes.byref(made))
        self._call("LiteRtAddOpaqueOptions", options, made)

    def _buffers(self, what: str) -> tuple[Any, list[TensorType]]:
        count = ctypes.c_size_t()
        self._call(f"LiteRtGetNumSignature{what}s", self.signature, ctypes.byref(count))
        buffers = (ctypes.c_void_p * count.value)()
        types = []
        for i in range(count.value):
            tensor = self._new(f"LiteRtGetSignature{what}TensorByIndex", self.signature, ctypes.c_size_t(i))
            kind = TensorType()
            self._call("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
            if (kind.layout.rank & 0x7F) > DIMS or kind.element not in ELEMENTS:
                raise RuntimeFailure(f"LiteRT's C API returned an unknown tensor type: {_unknown()}")
            for d in range(kind.layout.rank & 0x7F):
                kind.layout.dims[d] = max(kind.layout.dims[d], 1)
            needs = self._new(
                f"LiteRtGetCompiledModel{what}BufferRequirements", self.compiled, ctypes.c_size_t(0), ctypes.c_size_t(i)
            )
            buffers[i] = self._new("LiteRtCreateManagedTensorBufferFromRequirements", self.env, ctypes.byref(kind), needs).value
            types.append(kind)
        return buffers, types

    def fill(self, arrays: Sequence[Array]) -> None:
        """Copy the inputs to their buffers."""
        for i, array in enumerate(arrays):
            data = np.ascontiguousarray(array).tobytes()
            size, place = ctypes.c_size_t(), ctypes.c_void_p()
            buffer = ctypes.c_void_p(self.inputs[i])
            self._call("LiteRtGetTensorBufferSize", buffer, ctypes.byref(size))
            if len(data) > size.value:
                raise RuntimeFailure(f"input {i} has {size.value} bytes, but {len(data)} were given")
            self._call("LiteRtLockTensorBuffer", buffer, ctypes.byref(place), WRITE)
            ctypes.memmove(place, data, len(data))
            self._call("LiteRtUnlockTensorBuffer", buffer)

    def shapes(self) -> list[tuple[tuple[int, ...], str]]:
        """(shape, element type) of each input, in the order of the signature."""
        return [(tuple(t.layout.dims[: t.layout.rank & 0x7F]), ELEMENTS.get(t.element, "float32")) for t in self.input_types]

    def run(self) -> float:
        """Run one inference and return its seconds."""
        start = time.perf_counter()
        status = self.lib.LiteRtRunCompiledModel(
            self.compiled,
            ctypes.c_size_t(0),
            ctypes.c_size_t(len(self.inputs)),
            self.inputs,
            ctypes.c_size_t(len(self.outputs)),
            self.outputs,
        )
        seconds = time.perf_counter() - start
        if status:
            raise RuntimeFailure(f"LiteRT failed to run the model (LiteRtRunCompiledModel: status {status})")
        return seconds

    def start(self) -> None:
        """Start recording events."""
        self._call("LiteRtResetProfiler", self.profiler)
        self._call("LiteRtStartProfiler", self.profiler)

    def events(self) -> list[Happening]:
        """Stop recording and return the events since `start`."""
        self._call("LiteRtStopProfiler", self.profiler)
        count = self.kept()
        events = (Event * max(count, 1))()
        self._call("LiteRtGetProfilerEvents", self.profiler, ctypes.c_int(count), events)
        if any(e.elapsed > TOO_LONG or e.kind not in KINDS for e in events[:count]):
            raise RuntimeFailure(f"the profiler's events cannot be read: {_unknown()}")
        return [
            Happening((e.tag or b"").decode(errors="replace"), e.kind, e.start, _us(e), e.metadata1, e.metadata2)
            for e in events[:count]
        ]

    def kept(self) -> int:
        """The number of events recorded so far."""
        count = ctypes.c_int()
        self._call("LiteRtGetNumProfilerEvents", self.profiler, ctypes.byref(count))
        return count.value

    def _new(self, name: str, *arguments: Any) -> Any:
        made = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(made))
        return made

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.lib, name)(*arguments)
        if status:
            raise RuntimeFailure(f"{name} returned status {status}")


def _us(e: Event) -> float:
    return float(e.elapsed) + (CUT_OFF if e.kind in (DELEGATE_OPERATOR, DELEGATE_PROFILED) else 0.0)


def summed(
    runs: Sequence[Sequence[Happening]],
) -> tuple[list[tuple[str, int, int, int, bool, float, float, int]], list[float]]:
    """Combine the events of several runs.

    If all runs have the same sequence of operators, times are averaged position by position. If a loop iterated a different
    number of times, equal operators are summed wherever they occur.

    Args:
        runs: the events of each run, from `Native.events`.

    Returns:
        (tag, kind, index, subgraph, whether it ran inside another operator, mean microseconds per run, microseconds of the
        first call, calls per run) of each operator, in order; and the seconds of each run, without nested operators.
    """
    series = [_nested(run) for run in runs]
    keys = [[(e.tag, e.kind, e.node, e.subgraph, inside) for e, inside in run] for run in series]
    totals = [sum(e.us for e, inside in run if not inside) / 1e6 for run in series]
    if keys and all(k == keys[0] for k in keys):
        times = np.array([[e.us for e, _ in run] for run in series], np.float64)
        return [(*key, float(times[:, i].mean()), float(times[0, i]), 1) for i, key in enumerate(keys[0])], totals
    found: dict[tuple[str, int, int, int, bool], list[float]] = {}
    for run, names in zip(series, keys, strict=True):
        for (event, _), key in zip(run, names, strict=True):
            found.setdefault(key, []).append(event.us)
    return [(*key, sum(us) / len(runs), float(us[0]), max(1, round(len(us) / len(runs)))) for key, us in found.items()], totals


def _nested(run: Sequence[Happening]) -> list[tuple[Happening, bool]]:
    """Each operator's event, and whether it ran inside another operator (WHILE, IF).

    Each graph that runs begins with an event "Invoke" and ends with a telemetry event; the first one is the main graph. A
    delegate's events have no start time of their own, only their position in this sequence.
    """
    found, depth = [], 0
    for e in run:
        if e.tag == INVOKE:
            depth += (e.kind == DEFAULT) - (e.kind == TELEMETRY)
        elif e.kind in (OPERATOR, DELEGATE_OPERATOR, DELEGATE_PROFILED):
            found.append((e, depth > 1))
    return found if depth == 0 else [(e, e.subgraph > 0) for e, _ in found]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Discard what the runtime writes to standard error."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
