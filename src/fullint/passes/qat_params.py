"""Use the quantization parameters that a model contains from quantization-aware training or PT2E.

    x --QUANTIZE--> i8 --DEQUANTIZE--> y                =>   x, with these parameters
    x --FAKE_QUANT(min, max)--> y                       =>   x, with the parameters of [min, max]
    const w --QUANTIZE--> i8 --DEQUANTIZE--> y          =>   const y with these parameters in `quant`

Such a model was trained with these parameters, so they are kept and not measured again.

FAKE_QUANT's parameters (kernels/fake_quant.cc, NudgeQuantizationRange), with q_min = 0, or 1 if the range is narrow:

    scale = (max - min) / (2^bits - 1 - q_min)          zero_point = round(q_min - min / scale), kept in [q_min, 2^bits - 1]
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fullint.model.ir import Array, Graph, Model, Op, Quant, Tensor, Uses, constant, twin
from fullint.model.numerics import activation_params, as_activation, dequantize, quantize, round_half_away
from fullint.model.ranges import Range
from fullint.ops import ROWS, Role
from fullint.ops.make import ACTIVATIONS, CLAMPS, make_op
from fullint.reporting import Change

Pinned = dict[Tensor, tuple[Quant, str]]
_ROUNDING = ("FAKE_QUANT", "DEQUANTIZE")
_CODES = ("int8", "uint8", "int16")
_BITS = {"int4": 4, "uint4": 4, "int16": 16, "uint16": 16}


def forget_float_params(model: Model) -> None:
    """Remove the quantization parameters of float activations, which some converters leave behind, in place."""
    for graph in model.graphs:
        for t in (*graph.inputs, *(t for op in graph.ops for t in op.outputs)):
            if t.dtype == "float32" and t.buffer is None:
                t.quant = None


def rounds_values(model: Model) -> bool:
    """Whether a model brings parameters along that `apply_qat_params` may use."""
    return any(op.kind in _ROUNDING for _, op in model.ops())


def apply_qat_params(model: Model) -> tuple[Pinned, list[Change]]:
    """Remove pairs of QUANTIZE and DEQUANTIZE, and FAKE_QUANT, in place, and keep their parameters.

    Each float tensor affected carries its parameters in `quant`, so that no rewrite removes the tensor: the integer model
    must round and clamp there.

    Returns:
        Tensor -> the parameters and type it is to have; and the changes made.
    """
    pinned: Pinned = {}
    changes: list[Change] = []
    for graph in model.graphs:
        for take in (_fake_quant, _pair):
            changes += _swept(graph, pinned, take)
        _move_constants(graph)
        _upwards(graph, pinned)
        graph.sync_tensors()
    return pinned, changes


def make_runnable(model: Model) -> list[Change]:
    """Rewrite parts of such models that LiteRT does not run, in place.

    const --FAKE_QUANT(narrow)--> w                  =>    const w, rounded
    x --QUANTIZE--> i4, or i16 --DEQUANTIZE--> y     =>    x --FAKE_QUANT(min, max, bits)--> y
    """
    changes: list[Change] = []
    for graph in model.graphs:
        changes += _swept(graph, {}, lambda op, uses: _fake_quant(op, uses) if _of_constant(op) else None)
        changes += _other_bits(graph)
        graph.sync_tensors()
    return changes


def _of_constant(op: Op) -> bool:
    return (x := op.input(0)) is not None and x.buffer is not None and x.dtype == "float32"


def _other_bits(graph: Graph) -> list[Change]:
    """Write pairs of QUANTIZE and DEQUANTIZE as FAKE_QUANT, where LiteRT cannot quantize float to their type."""
    changes = []
    uses = Uses(graph)
    for op in [o for o in graph.ops if o.kind == "DEQUANTIZE"]:
        q = op.input(0)
        maker = uses.producer.get(q) if q is not None else None
        x = maker.input(0) if maker is not None and maker.kind == "QUANTIZE" else None
        if q is None or q.quant is None or q.quant.scale.size != 1 or x is None or x.dtype != "float32":
            continue
        zero, scale = float(q.quant.zero_point[0]), float(q.quant.scale[0])
        if q.dtype not in _BITS or (q.dtype == "int16" and zero == 0):
            continue
        bits = _BITS[q.dtype]
        first = 0.0 if q.dtype.startswith("u") else -(2.0 ** (bits - 1))
        low, high = (first - zero) * scale, (first + 2.0**bits - 1 - zero) * scale
        options = {"min": low, "max": high, "num_bits": bits, "narrow_range": False}
        graph.ops[graph.ops.index(op)] = make_op("FAKE_QUANT", [x], op.outputs, **options)
        changes.append(
            Change(
                "made_runnable",
                op.origin,
                op.kind,
                op.output_name,
                f"LiteRT cannot quantize float to {q.dtype}: written as FAKE_QUANT",
            )
        )
        uses = Uses(graph)
        if maker is not None and not uses.of(q) and q not in uses.outputs:
            graph.ops.remove(maker)
    return changes


_Take = Callable[[Op, Uses], "tuple[Tensor, Tensor, Quant, str, list[Op]] | None"]
"""Recognises a pattern: (its input, its output, parameters, integer type, operators to remove), or None."""


def _swept(graph: Graph, pinned: Pinned, take: _Take) -> list[Change]:
    changes = []
    uses = Uses(graph)
    for op in [o for o in graph.ops if o.kind in _ROUNDING]:
        found = take(op, uses)
        if found is None:
            continue
        x, y, quant, dtype, gone = found
        instead: list[Op] = []
        if x.buffer is not None:
            on_grid = _on_grid(x, quant, dtype)
            y.buffer, y.quant, y.shape = on_grid.buffer, on_grid.quant, on_grid.shape
        elif (given := as_activation(Tensor("", (), dtype, quant=quant))) is None:
            continue
        elif not _alone(x, gone, given, pinned, uses) or (kept := _joined(graph, x, y)) is None:
            if op.kind != "FAKE_QUANT":
                continue
            instead = _pair_of(x, y, quant)  # x has other readers: only readers of y see the rounded value
        else:
            pinned[kept], kept.quant = given, given[0]
        at = graph.ops.index(op)
        graph.ops[at : at + 1] = instead
        graph.ops = [o for o in graph.ops if o not in gone]
        uses = Uses(graph)
        changes += [Change("honour", op.origin, op.kind, y.name, "parameters from training used")]
    return changes


def _alone(x: Tensor, gone: list[Op], given: tuple[Quant, str], pinned: Pinned, uses: Uses) -> bool:
    """Whether `x` can get these parameters: it has no readers that the model gave other ones."""
    if x in pinned and pinned[x][0].same_as(given[0]):
        return True
    return x not in uses.outputs and all(reader in gone or _same_grid(reader, given) for reader, _ in uses.of(x))


def _same_grid(op: Op, given: tuple[Quant, str]) -> bool:
    own = as_activation(op.outputs[0]) if op.kind == "QUANTIZE" else None
    return own is not None and own[1] == given[1] and own[0].same_as(given[0])


def _pair_of(x: Tensor, y: Tensor, quant: Quant) -> list[Op]:
    codes = twin(x, f"{y.name}/codes")
    codes.dtype, codes.quant = "int8", quant
    return [make_op("QUANTIZE", [x], [codes]), make_op("DEQUANTIZE", [codes], [y])]


def _move_constants(graph: Graph) -> None:
    """Fold a TRANSPOSE of a constant with parameters: converters keep weights in the framework's layout."""
    for op in list(graph.ops):
        x, order = op.input(0), op.input(1)
        if op.kind != "TRANSPOSE" or x is None or x.buffer is None or x.quant is None or order is None or order.buffer is None:
            continue
        axes, y = order.array.reshape(-1), op.outputs[0]
        moved = constant(y.name, np.ascontiguousarray(x.array.transpose(axes)))
        if y not in graph.outputs:
            y.buffer, y.shape = moved.buffer, moved.shape
            y.quant = replace(x.quant, axis=int(np.flatnonzero(axes == x.quant.axis)[0])) if x.quant.per_channel else x.quant
            graph.ops.remove(op)


def _upwards(graph: Graph, pinned: Pinned) -> None:
    """Give a tensor that is only moved (TRANSPOSE, …) or cut off (RELU, …) the parameters of the result: no requantize is needed.

    Cut off by those of the result first, by RELU then, or the other way round: that is the same.
    """
    uses = Uses(graph)
    for op in reversed(graph.ops):
        row = ROWS.get(op.kind)
        if row is None or not op.outputs or op.outputs[0] not in pinned:
            continue
        passed = [t for i, t in enumerate(op.inputs) if row.role(i) is Role.SAME or ACTIVATIONS.get(op.kind) in CLAMPS]
        moved = [t for t in passed if t is not None and t.buffer is None]
        if len(moved) == 1 and moved[0].is_float and uses.only_reader(moved[0]) is op:
            pinned.setdefault(moved[0], pinned[op.outputs[0]])


def _fake_quant(op: Op, uses: Uses) -> tuple[Tensor, Tensor, Quant, str, list[Op]] | None:
    x = op.input(0)
    if op.kind != "FAKE_QUANT" or op.keep_float or x is None or (op.outputs[0] in uses.outputs and x.buffer is not None):
        return None
    low, high = float(op.options.get("min", 0.0)), float(op.options.get("max", 0.0))
    bits, narrow = int(op.options.get("num_bits", 8)), bool(op.options.get("narrow_range", False))
    if not low < high:
        return None
    if bits == 8:
        quant = fake_quant_params(low, high, narrow)
    else:  # the range at full int8 resolution; shifted to contain zero, as the kernel does
        move = -max(low, 0.0) - min(high, 0.0)
        quant = activation_params(Range(low + move, high + move))
    return x, op.outputs[0], quant, "int8", [op]


def fake_quant_params(low: float, high: float, narrow: bool) -> Quant:
    """The int8 parameters of an 8-bit FAKE_QUANT."""
    least, low32 = 1 if narrow else 0, np.float32(low)  # in float32, as in the kernel, so that ties round alike
    scale = (np.float32(high) - low32) / np.float32(255 - least)
    zero = min(max(int(round_half_away(np.float32(least) - low32 / scale)), least), 255)
    return Quant.of(scale, zero - 128)


def _pair(op: Op, uses: Uses) -> tuple[Tensor, Tensor, Quant, str, list[Op]] | None:
    """A QUANTIZE of a float tensor followed by a DEQUANTIZE."""
    q = op.input(0)
    maker = uses.producer.get(q) if op.kind == "DEQUANTIZE" and q is not None else None
    if q is None or maker is None or maker.kind != "QUANTIZE" or op.keep_float or maker.keep_float:
        return None
    x, y = maker.input(0), op.outputs[0]
    if x is None or x.dtype != "float32" or y.dtype != "float32" or q.dtype not in _CODES or q.quant is None:
        return None
    if q in uses.outputs or any(reader.kind != "DEQUANTIZE" for reader, _ in uses.of(q)):
        return None
    if (x.buffer is None and q.quant.scale.size != 1) or (x.buffer is not None and y in uses.outputs):
        return None
    return x, y, q.quant, q.dtype, [op, *([maker] if len(uses.of(q)) == 1 else [])]


def _on_grid(x: Tensor, quant: Quant, dtype: str) -> Tensor:
    """The constant rounded to these parameters; it keeps them in `quant` if they are int8 with zero point 0."""
    if dtype == "uint8":
        quant, dtype = replace(quant, zero_point=quant.zero_point - 128), "int8"
    values: Array = dequantize(quantize(x.array, quant, dtype), quant)
    return constant(x.name, values, quant if dtype == "int8" and not np.any(quant.zero_point) else None)


def _joined(graph: Graph, x: Tensor, y: Tensor) -> Tensor | None:
    """Merge two tensors into one, keeping an input or output of the graph; None if both are."""
    if x in graph.inputs or x in graph.outputs:
        if y in graph.outputs:
            return None
        kept, gone = x, y
    else:
        kept, gone = y, x
    if kept.shape != gone.shape:
        kept.shape = gone.shape if not kept.shape else kept.shape
    for op in graph.ops:
        op.inputs = [kept if t is gone else t for t in op.inputs]
        op.outputs = [kept if t is gone else t for t in op.outputs]
    return kept
