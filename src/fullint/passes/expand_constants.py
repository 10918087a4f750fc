"""Expand constants stored in fewer bits to float32, and make infinite masks finite.

    const f16 -- DEQUANTIZE --> x          =>   const f32 x
    const i8  -- DEQUANTIZE --> x          =>   const f32 x   (x keeps its int8 parameters)
    CONV_2D(f32, const i8 weights) (dynamic range)   =>   CONV_2D(f32, const f32 weights)
    CONV_2D(f32, const u8 weights) (the same, old)   =>   the same: the bytes are int8 codes

    SELECT_V2(mask, const -inf, x)         =>   SELECT_V2(mask, const -3.4e38, x)

The float32 constant keeps the int8 parameters in `quant`, so that quantizing it again with them loses nothing.
"""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Op, Quant, Tensor, Uses, constant
from fullint.model.numerics import dequantize
from fullint.passes.engine import No, Rewrite

MASKED = ("SELECT", "SELECT_V2", "ADD", "MAXIMUM", "PADV2", "CONCATENATION")
"""Operators in which an infinite constant serves as a mask."""
HYBRID = frozenset("CONV_2D DEPTHWISE_CONV_2D FULLY_CONNECTED TRANSPOSE_CONV BATCH_MATMUL GATHER EMBEDDING_LOOKUP".split())
_STORED = ("int8", "uint8", "int16", "float16")


def expand_dequantize(op: Op, uses: Uses) -> Rewrite | No | None:
    """Replace the DEQUANTIZE of a constant by a float32 constant."""
    if op.kind != "DEQUANTIZE" or op.inputs[0] is None or not op.inputs[0].is_constant:
        return None
    source, out = op.inputs[0], op.outputs[0]
    if source.buffer is None or source.sparsity is not None or source.dtype not in _STORED:
        return No(f"its {source.dtype} constant is sparse, external or packed, and is not expanded")
    if out in uses.outputs:
        return No("its constant is an output of the graph")
    wide = _widen(source)
    wide.shape_signature = out.shape_signature
    return Rewrite((op,), (), f"{source.dtype} constant expanded to float32", {out: wide})


def expand_hybrid(op: Op, uses: Uses) -> Rewrite | No | None:
    """Expand the int8, uint8, int16 or float16 constants of a float operator (dynamic-range weights) to float32."""
    if op.kind not in HYBRID or not op.outputs or not op.outputs[0].is_float:
        return None
    stored = [i for i, t in enumerate(op.inputs) if t is not None and t.quant and t.dtype in _STORED and t.is_constant]
    stored += [i for i, t in enumerate(op.inputs) if t is not None and t.dtype == "float16" and t.is_constant]
    if not stored:
        return None
    if any((t := op.inputs[i]) is None or t.buffer is None or t.sparsity is not None for i in stored):
        return No("its constants are sparse or external, and are not expanded")
    inputs = [_widen(_as_read(t)) if i in stored and t is not None else t for i, t in enumerate(op.inputs)]
    options = {**op.options}
    if "asymmetric_quantize_inputs" in options:
        options["asymmetric_quantize_inputs"] = False
    new = Op(op.kind, inputs, op.outputs, options, op.options_type, op.extra, 1)
    return Rewrite((op,), (new,), "dynamic-range weights expanded to float32")


def _as_read(t: Tensor) -> Tensor:
    """Weights as LiteRT's hybrid kernels read them: those of type uint8, in old files, hold int8 codes with zero point 0."""
    if t.dtype != "uint8" or t.quant is None:
        return t
    return constant(t.name, t.array.view(np.int8), Quant.of(t.quant.scale, 0, t.quant.axis))


def _widen(source: Tensor) -> Tensor:
    if source.dtype == "float16":
        return constant(source.name, source.array.astype(np.float32))
    if source.quant is None or not source.quant.scale.size:
        return constant(source.name, source.array.astype(np.float32))
    grid: Quant | None = source.quant if source.dtype == "int8" else None
    return constant(source.name, dequantize(source.array, source.quant), grid)


def finite_masks(op: Op, uses: Uses) -> Rewrite | None:
    """Replace infinity in a mask by the largest finite float32, which has the same effect."""
    if op.kind not in MASKED or not op.outputs[0].is_float:
        return None
    masks = [i for i, t in enumerate(op.inputs) if t is not None and t.buffer is not None and _has_infinity(t)]
    if not masks:
        return None
    limit = np.finfo(np.float32).max
    inputs = [
        constant(t.name, np.clip(t.array, -limit, limit)) if i in masks and t is not None else t for i, t in enumerate(op.inputs)
    ]
    new = Op(op.kind, inputs, op.outputs, {**op.options}, op.options_type, op.extra, op.version)
    return Rewrite((op,), (new,), "infinity in the mask replaced by the largest float32")


def _has_infinity(t: Tensor) -> bool:
    return t.dtype == "float32" and not np.isnan(t.array).any() and bool(np.isinf(t.array).any())
