"""What a model takes on a microcontroller: its arena, measured with TensorFlow Lite Micro's own allocator, flash, and operators.

arena  =  persistent (parameters of tensors, state of kernels)  +  activations and scratch buffers, of which the most are
alive at one operator, the peak
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fullint.delegates import tflm_software
from fullint.delegates.micro_kernels import OptimizedKernels, optimized
from fullint.errors import UsageError
from fullint.model.ir import Graph, Model, Tensor
from fullint.model.tflite import read_model

RESOLVER_METHODS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}
"""Operators whose method of MicroMutableOpResolver is not their name in camel case (micro_mutable_op_resolver.h)."""
HEAD, TAIL = "head", "tail"
"""Parts of the arena, as the allocator prints them: what is reused, and what stays."""


@dataclass(frozen=True)
class AliveTensor:
    """A tensor that is in memory at the peak."""

    name: str
    bytes: int


@dataclass(frozen=True)
class MicroMemory:
    """What a model takes on a microcontroller.

    Attributes:
        arena: the smallest arena that it is allocated in, in bytes, measured on a 64-bit host: pointers of a microcontroller
            are half as long, so it takes less there.
        persistent: the part of it that stays: parameters of tensors and state of kernels.
        activations: the part that is reused: activations and scratch buffers.
        flash: bytes of the file.
        peak: index of the operator at which most activations are alive.
        alive: these, the largest first.
        resolver: the lines that register its operators.
        source: what measured.
        optimized: what libraries of optimized kernels compute of it, by their tables.
    """

    arena: int
    persistent: int
    activations: int
    flash: int
    peak: int
    alive: tuple[AliveTensor, ...]
    resolver: tuple[str, ...]
    source: str
    optimized: tuple[OptimizedKernels, ...] = ()


def micro_memory(data: bytes) -> MicroMemory:
    """Measure a model.

    Raises:
        UsageError: TensorFlow Lite Micro is not installed, or refuses the model.
    """
    if not tflm_software.installed():
        raise UsageError('the arena is measured with TensorFlow Lite Micro, which is not installed: pip install "fullint[tflm]"')
    (found,) = tflm_software.run_models([data], least=True)
    if found.why:
        raise UsageError(f"TensorFlow Lite Micro does not take the model: {found.why} (fullint partition --target tflm)")
    model = read_model(data)
    peak, alive = peak_of(model.main)
    return MicroMemory(
        arena=found.arena,
        persistent=found.allocations.get(TAIL, 0),
        activations=found.allocations.get(HEAD, 0),
        flash=len(data),
        peak=peak,
        alive=tuple(AliveTensor(t.name, t.nbytes) for t in sorted(alive, key=lambda t: t.nbytes, reverse=True)),
        resolver=tuple(resolver_lines(model)),
        source=tflm_software.source(),
        optimized=optimized(model),
    )


def resolver_lines(model: Model) -> Iterator[str]:
    """A line for each operator that the model needs, as MicroMutableOpResolver has them."""
    for kind in sorted({op.kind for _, op in model.ops()}):
        words = [w if w == "2D" else w.capitalize() for w in kind.split("_")]
        yield f"Add{RESOLVER_METHODS.get(kind, ''.join(words))}()"


def peak_of(graph: Graph) -> tuple[int, list[Tensor]]:
    """The operator at which most bytes of activations are alive, and those tensors."""
    last: dict[Tensor, int] = dict.fromkeys(graph.outputs, len(graph.ops))
    for i, op in enumerate(graph.ops):
        for t in op.inputs:
            if t is not None and not t.is_constant:
                last[t] = max(last.get(t, 0), i)
    alive = {t for t in graph.inputs if t in last}
    peak, most, largest = 0, list[Tensor](), 0
    for i, op in enumerate(graph.ops):
        alive |= set(op.outputs)
        if (total := sum(t.nbytes for t in alive)) > largest:
            peak, most, largest = i, list(alive), total
        alive = {t for t in alive if last.get(t, -1) > i}
    return peak, most
