"""LiteRT's interpreter from the Python wheel. Only this module imports it, and only worker processes run it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fullint.model.ir import Array

_RESOLVERS = {"xnnpack": "AUTO", "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "reference": "BUILTIN_REF"}


def open_interpreter(path: str, kernels: str, threads: int, shapes: Sequence[Sequence[int]] | None = None) -> Any:
    """An allocated interpreter on one kernel set.

    Args:
        path: path of the model's file.
        kernels: "xnnpack", "builtin" or "reference".
        threads: number of threads of one inference.
        shapes: shape of each graph input, if they differ from the file's.
    """
    from ai_edge_litert import interpreter as litert

    resolver = getattr(litert.OpResolverType, _RESOLVERS[kernels])
    runner = litert.Interpreter(path, experimental_op_resolver_type=resolver, num_threads=threads)
    for detail, shape in zip(runner.get_input_details(), shapes or (), strict=False):
        if tuple(detail["shape"]) != tuple(shape):
            runner.resize_tensor_input(detail["index"], list(shape))
    runner.allocate_tensors()
    return runner


def ends_of(runner: Any) -> tuple[list[int], list[int]]:
    """Indices of its inputs and of its outputs, in graph order; to ask for them takes longer than a small network's run."""
    return [d["index"] for d in runner.get_input_details()], [d["index"] for d in runner.get_output_details()]


def invoke(runner: Any, arrays: Sequence[Array], inputs: Sequence[int] | None = None) -> None:
    """Set the inputs, in graph order, and run the model once; their indices are asked for where they are not given."""
    found = [d["index"] for d in runner.get_input_details()] if inputs is None else inputs
    for index, array in zip(found, arrays, strict=True):
        runner.set_tensor(index, array)
    runner.invoke()


class PlainModel:
    """A model in the interpreter, optionally with a delegate from a library; has the interface of `Native`."""

    def __init__(self, path: str, kernels: str, threads: int, library: str | None, options: dict[str, str]) -> None:
        from ai_edge_litert import interpreter as litert

        start = time.perf_counter()
        if library is None:
            self.runner = open_interpreter(path, kernels, threads)
        else:
            try:
                self.delegate = litert.load_delegate(library, options)
            except (OSError, ValueError) as e:
                raise RuntimeError(f"the delegate {library} cannot be loaded: {str(e) or 'it refuses its options'}") from e
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
