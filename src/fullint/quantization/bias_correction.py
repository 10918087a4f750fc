"""The last layers' biases take back the mean error that has gathered before them.

    b' = b - shrink(mean over samples of (y_int - y_float))        per output channel of a head

A head is a weighted operator whose result reaches a graph output through nothing but operators that
keep channels in place (SOFTMAX, RESHAPE, CONCATENATION, …). Rounding and clipping shift the mean of
every layer a little; at the head the shifts of all of them have added up, and the bias is the place
to undo them (Nagel et al. 2019, empirical bias correction, at the one layer where it costs a few
runs). A mean of few samples is noisy, so it is shrunk: e * max(0, 1 - SE^2 / e^2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.calibration.probes import append_means
from fullint.model.ir import Array, Buffer, Graph, Model, Op, Tensor, Uses, twin
from fullint.ops import ROWS, traits_of
from fullint.ops.macs import total_macs
from fullint.quantization.emit import Emitted
from fullint.reporting import Change

MOST_SAMPLES, FEWEST_SAMPLES = 32, 6
SAMPLE_BYTES = 4_000_000
BUDGET_MACS = 3_000_000_000


@dataclass(frozen=True)
class Head:
    """The result of a weighted operator next to an output of the float model.

    Attributes:
        tensor: the result.
        origin: index of the operator in the given file.
        channels: of the result, along its last dimension.
    """

    tensor: Tensor
    origin: int
    channels: int


def heads(graph: Graph) -> list[Head]:
    """The operators whose biases can take an output's mean error back."""
    uses = Uses(graph)
    waiting, seen, found = list(graph.outputs), set[Tensor](), []
    while waiting:
        t = waiting.pop()
        op = uses.producer.get(t)
        if t in seen or op is None:
            continue
        seen.add(t)
        row = ROWS.get(op.kind)
        if op.keep_float:
            continue
        if row is not None and row.weight is not None:
            bias = op.input(row.bias or 0)
            plain = not op.options.get("fused_activation_function") and t.dtype == "float32"
            if plain and bias is not None and bias.buffer is not None:
                found.append(Head(t, op.origin, t.shape[-1]))
        elif traits_of(op.kind).passes_means:
            waiting += [x for x in op.inputs if x is not None and x.dtype == "float32" and not x.is_constant]
    return found


def sample_count(model: Model) -> int:
    """How many samples the correction may keep and run, bounded in memory and in work; 0: too few to help."""
    size = sum(t.size * 4 for t in model.main.inputs)
    in_memory = SAMPLE_BYTES // max(size, 1)
    if in_memory < FEWEST_SAMPLES and size * FEWEST_SAMPLES <= 5 * SAMPLE_BYTES:
        in_memory = FEWEST_SAMPLES
    count = min(MOST_SAMPLES, in_memory, BUDGET_MACS // max(total_macs(model), 1))
    return count if count >= FEWEST_SAMPLES else 0


def means_model(emitted: Emitted, found: Sequence[Head]) -> Model:
    """The integer model with its heads' channel means as its only output."""
    old = emitted.model.main
    ops: list[Op] = []
    vector = append_means([emitted.int8[h.tensor] for h in found], ops)
    graph = Graph(old.name, [], list(old.inputs), [vector], [*old.ops, *ops])
    graph.sync_tensors()
    return Model([graph, *emitted.model.graphs[1:]], version=emitted.model.version)


def correct_bias(emitted: Emitted, found: Sequence[Head], reference: Array, measured: Array) -> list[Change]:
    """Shift the heads' int32 biases, in place.

    Args:
        emitted: the integer model.
        found: its heads.
        reference, measured: channel means of the float and the integer model, [samples, channels of all heads].
    """
    writers: Mapping[Tensor, Op] = {t: op for op in emitted.model.main.ops for t in op.outputs}
    changes = []
    start = 0
    for head in found:
        piece = slice(start, start + head.channels)
        start += head.channels
        error = measured[:, piece].astype(np.float64) - reference[:, piece].astype(np.float64)
        if not np.isfinite(error).all():
            continue
        shift = _shrunk(error)
        op = writers[emitted.int8[head.tensor]]
        index = ROWS[op.kind].bias or 0
        bias = op.inputs[index]
        assert bias is not None and bias.quant is not None
        codes = np.rint(shift / bias.quant.scale.astype(np.float64)).astype(np.int64)
        limit = 2**31 - 1 if bias.dtype == "int32" else 2**39 - 1  # int64 biases are added in 40 bits
        moved = np.clip(bias.array.astype(np.int64) - codes, -limit, limit).astype(bias.array.dtype)
        own = twin(bias)
        own.buffer = Buffer.of(moved)
        op.inputs[index] = own
        rms = float(np.sqrt(np.square(shift).mean()))
        changes.append(Change("correct_bias", head.origin, op.kind, op.outputs[0].name, f"mean error of {rms:.3g} taken back"))
    emitted.model.main.sync_tensors()
    return changes


def _shrunk(error: Array) -> Array:
    """Channel means of the error, the less the fewer samples and the larger their spread."""
    mean = error.mean(axis=0)
    if len(error) < 2:
        return np.zeros_like(mean)
    noise = error.var(axis=0, ddof=1) / len(error)
    keep: Array = np.maximum(0.0, 1 - noise / np.maximum(np.square(mean), 1e-30))
    shift: Array = mean * keep
    return shift
