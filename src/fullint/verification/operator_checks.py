"""What an integer operator must satisfy. The contract requires all of it; the audit adds a cause, a manual page and a fix.

    bias     int32 (int64 with int16 activations), a vector, scale s_in * s_w, zero point 0
    weights  int8 in [-127, 127], zero point 0, scales along the kernel's axis
    scales   equal where the kernel copies values, the kernel's own where it fixes one, within what multipliers represent
    types    a combination that some kernel accepts, with an operator version that supports it

Each check looks at one operator and returns a `Breach`, or None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fullint.documents import cut
from fullint.model.ir import Op, Quant, Tensor
from fullint.model.numerics import SCALE_MAX, bias_scales
from fullint.ops import ROWS, Fixed, Given, OpRow, Role
from fullint.ops.base import CONVERSIONS, codes, is_wide
from fullint.ops.decompositions import CODES_TAKEN, INTEGERS
from fullint.ops.operands import integer_row, plain, same_group, weighted
from fullint.ops.structure import quant_problems

BIAS_SCALE_TOLERANCE = 1e-5
"""Relative. A float32 product is exact to 6e-8; LiteRT itself does not check int8 convolutions."""
NEARLY = 0.01
"""Relative. A bias scale that is off by less is the result of rounding; it has no visible effect."""


@dataclass(frozen=True)
class Breach:
    """How an operator breaks a rule.

    Attributes:
        text: a sentence without a full stop that names the tensors involved.
        evidence: the numbers behind it, as JSON values.
        tensor: the operand that is wrong, if it is a single one.
        harmless: whether the operator still computes what the file says.
    """

    text: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    tensor: Tensor | None = None
    harmless: bool = False


Check = Callable[[Op], Breach | None]


def malformed_parameters(op: Op) -> Breach | None:
    """Invalid quantization parameters of an operand."""
    for t in op.values():
        if t.quant is not None and t.quant.scale.size and (codes(t) or t.dtype in ("int32", "int64")):
            problem = next(quant_problems(t, t.quant), None) or _impossible(t, t.quant)
            if problem:
                return Breach(problem, {"tensor": t.name}, t)
    return None


def _impossible(t: Tensor, quant: Quant) -> str | None:
    if quant.scale.min() == 0:
        return f'tensor "{t.name}" has a scale of zero'
    if quant.scale.size == 1 and t.shape and quant.axis >= len(t.shape):  # LiteRT refuses the file
        return f'tensor "{t.name}" has a scale along axis {quant.axis} of {list(t.shape)}'
    if t.dtype == "int16" and quant.zero_point.any() and not t.is_constant:
        return f'tensor "{t.name}" is int16 with a zero point other than 0; the kernels require 0'
    return None


def weight_axis(op: Op) -> Breach | None:
    """Scales of weights along another dimension than the kernel requires."""
    found = weighted(op)
    if found is None or integer_row(op) is None:
        return None
    row, _, w, _ = found
    if w.quant is None or not w.quant.per_channel or w.quant.axis == row.axis:
        return None
    text = f'the scales of its weights "{short(w)}" run along axis {w.quant.axis}; the kernel requires axis {row.axis}'
    return Breach(text, {"axis": w.quant.axis, "wanted": row.axis}, w)


def bias_type(op: Op) -> Breach | None:
    """A bias of the wrong element type."""
    found = weighted(op)
    if found is None or found[3] is None or integer_row(op) is None or any(t.is_float for t in (found[1], *op.outputs)):
        return None
    _, x, _, b = found
    wanted = ("int64", "int32") if x.dtype == "int16" else ("int32",)
    if b is None or b.dtype in wanted:
        return None
    return Breach(f'its bias "{short(b)}" is {b.dtype}; the kernel requires {wanted[0]}', {"is": b.dtype, "wanted": wanted[0]}, b)


def bias_width(op: Op) -> Breach | None:
    """An int32 bias with int16 activations: LiteRT accepts it, but fullint writes int64."""
    found = weighted(op)
    if found is None or found[3] is None or integer_row(op) is None or found[1].dtype != "int16" or found[3].dtype != "int32":
        return None
    return Breach(f'its bias "{short(found[3])}" is int32; with int16 activations it must be int64', tensor=found[3])


def bias_shape(op: Op) -> Breach | None:
    """A bias whose shape is not [channels]; float operators are checked too."""
    found = weighted(op)
    if found is None or found[3] is None or found[0].axis is None:
        return None
    row, _, w, b = found
    assert b is not None and row.axis is not None
    channels = w.shape[row.axis] if len(w.shape) > row.axis else 0
    if b.shape == (channels,) or not channels:
        return None
    text = f'its bias "{short(b)}" has shape {list(b.shape)}; the kernel requires [{channels}]'
    return Breach(text, {"shape": list(b.shape), "channels": channels}, b)


def missing_bias(op: Op) -> Breach | None:
    """A convolution without the bias that LiteRT requires."""
    row = integer_row(op)
    if row is None or not row.demands_bias or row.bias is None or op.input(row.bias) is not None:
        return None
    return Breach("it has no bias; LiteRT requires one")


def bias_scale(op: Op) -> Breach | None:
    """A bias whose scale is not s_in * s_w, or whose zero point is not 0."""
    found = weighted(op)
    if found is None or found[3] is None or integer_row(op) is None:
        return None
    _, x, w, b = found
    data = plain(x)
    if b is None or data is None or not codes(w) or w.quant is None or b.dtype not in ("int32", "int64"):
        return None
    if b.quant is None or not b.quant.scale.size:
        return Breach(f'its bias "{short(b)}" has no scale', {"is": None}, b, harmless=True)
    if not (np.isfinite(b.quant.scale).all() and (b.quant.scale > 0).all()):
        return None  # malformed
    expected = bias_scales(float(data.scale[0]), w.quant.scale)
    if b.quant.scale.size not in (1, expected.size):
        return Breach(f'its bias "{short(b)}" has {b.quant.scale.size} scales, the weights {expected.size}', tensor=b)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.broadcast_to(expected / b.quant.scale, np.broadcast_shapes(expected.shape, b.quant.scale.shape))
    worst = int(np.argmax(np.abs(ratio - 1)))
    off, zero = abs(float(ratio[worst]) - 1), bool((b.quant.zero_point != 0).any())
    if not zero and off <= BIAS_SCALE_TOLERANCE:
        one = f'its bias "{short(b)}" has one scale, but the weights have {expected.size}'
        return None if b.quant.scale.size == expected.size else Breach(one, tensor=b, harmless=True)
    of = (float(np.broadcast_to(b.quant.scale, ratio.shape)[worst]), float(np.broadcast_to(expected, ratio.shape)[worst]))
    empty = b.buffer is not None and not b.buffer.data.any()
    said = "zero point is not 0" if zero else f"it counts {ratio[worst]:.3g} times what the file says"
    text = f'its bias "{short(b)}" has scale {of[0]:.6g}, but s_in * s_w is {of[1]:.6g}: {"it is zero" if empty else said}'
    evidence = {"channel": worst, "is": of[0], "expected": of[1], "ratio": float(ratio[worst])}
    return Breach(text, evidence, b, harmless=not zero and (off < NEARLY or empty))


def weight_zero_point(op: Op) -> Breach | None:
    """int8 weights with a zero point other than 0."""
    found = weighted(op)
    if found is None or integer_row(op) is None or not codes(found[2]) or found[2].dtype != "int8":
        return None
    w = found[2]
    assert w.quant is not None
    points = w.quant.zero_point
    if not points.any():
        return None
    worst = int(points[np.argmax(np.abs(points))])
    text = f'the zero point of its weights "{short(w)}" is {worst}; the kernel requires 0'
    return Breach(text, {"zero_point": worst, "constant": w.is_constant}, w)


def weight_type(op: Op) -> Breach | None:
    """Data or weights without a scale, or weights that are not int8 (LiteRT also runs int4, but fullint writes int8)."""
    row = integer_row(op)
    if row is None or row.weight is None:
        return None
    x, w = op.input(row.data), op.input(row.weight)
    if x is None or w is None or x.quant is None or w.quant is None:
        return Breach("it has no scales for its data or weights")
    return None if w.dtype == "int8" else Breach(f'its weights "{short(w)}" are {w.dtype}; the contract is int8', tensor=w)


def raw_codes(op: Op) -> Breach | None:
    """An int8 operand without a scale in an operator whose result has one; only CAST may mix them."""
    row = integer_row(op)
    if row is None or row.role(row.data) is Role.RAW or all(t.quant is None for t in op.outputs):
        return None
    raw = next((t for t in op.values() if t.dtype == "int8" and t.quant is None), None)
    return Breach(f'it mixes int8 without a scale ("{short(raw)}") and quantized int8', tensor=raw) if raw is not None else None


def weight_range(op: Op) -> Breach | None:
    """Constant int8 weights that contain -128."""
    found = weighted(op)
    if found is None or integer_row(op) is None:
        return None
    w = found[2]
    if w.dtype != "int8" or w.buffer is None or w.sparsity is not None or not codes(w):
        return None
    count = int((w.array == -128).sum())
    return Breach(f'{count} of its weights "{short(w)}" are -128', {"count": count}, w, harmless=True) if count else None


def shared_scales(op: Op) -> Breach | None:
    """Operands that must share scale and zero point, but do not."""
    row = integer_row(op)
    group = same_group(op, row) if row is not None and op.kind not in CONVERSIONS else []
    if not any(t in group for t in op.outputs) or any(t.is_float for t in group):  # comparisons handle a scale per side
        return None
    return unequal([(t, quant) for t in group if (quant := plain(t)) is not None])


def unequal(known: list[tuple[Tensor, Quant]]) -> Breach | None:
    """The first tensor whose parameters differ from those of the first in the list."""
    other = next(((t, q) for t, q in known if not q.same_as(known[0][1])), None)
    if other is None:
        return None
    (a, p), (b, q) = known[0], other
    evidence = {"tensors": {t.name: show(quant) for t, quant in known[:8]}}
    return Breach(f'"{short(a)}" has {p}, "{short(b)}" has {q}', evidence, b)


def fixed_scale(op: Op) -> Breach | None:
    """An integer output whose parameters are not those that its kernel fixes."""
    row = integer_row(op)
    for i, t in enumerate(op.outputs if row is not None else ()):
        if not t.is_float and row is not None and (breach := demanded_scale(op, row, i, plain(t))) is not None:
            return breach
    return None


def demanded_scale(op: Op, row: OpRow, index: int, given: Quant | None) -> Breach | None:
    """Parameters of an output that differ from those that its kernel fixes."""
    rule, t, x = row.output(index), op.outputs[index], op.input(0)
    if not isinstance(rule, Fixed) or given is None or (x is not None and x.dtype != t.dtype):
        return None
    demanded = rule.of_type("int16" if t.dtype == "int16" else "int8")
    if given.same_as(demanded):
        return None
    text = f"its output has {given}; the kernel requires {demanded}"
    return Breach(text, {"given": show(given), "demanded": show(demanded)}, t)


def scales_in_range(op: Op) -> Breach | None:
    """Scales, or ratios of scales, that the kernel's multipliers cannot represent."""
    row = integer_row(op)
    if row is None or not op.outputs or not all(codes(t) for t in op.outputs):
        return None
    for t in op.values():
        worst = float(t.quant.scale.max()) if codes(t) and t.quant is not None else 1.0
        if SCALE_MAX < worst < math.inf:
            text = f'"{short(t)}" has scale {worst:.3g}: no multiplier can represent it, and all other values would round to zero'
            return Breach(text, {"scale": worst}, t)
    why = row.limit(op)
    return Breach(why) if why else None


def version(op: Op) -> Breach | None:
    """A version lower than the operator's types require."""
    row = integer_row(op)
    kinds = {t.dtype for t in op.values() if codes(t) and not t.is_constant and not t.is_variable}
    if row is None or not op.outputs or len(kinds) != 1 or any(t.is_float for t in op.values()):
        return None
    needed = row.version_of(op)
    if op.version >= needed:
        return None
    text = f"its version is {op.version}, but its types require {needed}"
    return Breach(text, {"version": op.version, "needed": needed}, harmless=True)


def kernel_types(op: Op) -> Breach | None:
    """Types that no kernel accepts together, or an operator without an integer kernel; float operators are checked too."""
    if op.kind in CONVERSIONS:
        return None
    row = ROWS.get(op.kind)
    kinds = _real_types(op, row)
    if len(kinds) > 1:
        (a, x), (b, y) = list(kinds.items())[:2]
        return Breach(f'it mixes {a} "{short(x)}" and {b} "{short(y)}"', {"types": sorted(kinds)})
    if any(t.is_float for t in op.values()):
        return None
    if row is None:
        return _no_kernel(op)
    if row.derive is not None and (wrong := _derived_types(op, row)) is not None:
        return wrong
    if integer_row(op) is not None and is_wide(op) and not row.int16:
        return Breach(f"LiteRT has no {op.kind} kernel for int16 activations ({row.source})", {"types": ["int16"]})
    return None


def _real_types(op: Op, row: OpRow | None) -> dict[str, Tensor]:
    """Element types of the operands that represent real values, without weights and biases -> an operand of each type."""
    found: dict[str, Tensor] = {}
    if row is None or row.converts_types:
        return found
    inputs = [(row.role(i), t) for i, t in enumerate(op.inputs) if t is not None]
    real = [t for role, t in inputs if role in (Role.OWN, Role.SAME) and not t.is_variable]
    if row.weight is None:
        real += op.outputs if all(t.is_float or codes(t) for t in op.outputs) else []
    else:
        x = op.input(row.data)
        real += [x] if x is not None and x not in real else []
        real += op.outputs
    floats = [t for t in real if t.is_float and not t.is_constant]
    for t in [*floats, *(t for t in real if codes(t) and not (t.is_constant and floats))]:
        found.setdefault(t.dtype, t)
    if any(codes(t) for t in real):
        for t in real:
            if t.dtype in ("int8", "int16") and not codes(t):
                found.setdefault(f"{t.dtype} without a scale", t)
    return found


def _derived_types(op: Op, row: OpRow) -> Breach | None:
    """Weights or state of a recurrent operator in a type that the kernel does not accept."""
    given = {i: t.quant for i, t in enumerate(op.inputs) if codes(t) and t is not None and t.quant is not None}
    out = op.outputs[0].quant
    if row.derive is None or out is None or 0 not in given or row.refuses(op):
        return None
    for i, (dtype, _) in row.derive(op, Given(given, out, {})).operands.items():
        t = op.input(i)
        if t is not None and t.dtype != dtype:
            what = "state" if t.is_variable else "constant"
            text = f'its {what} "{short(t)}" is {t.dtype}; LiteRT\'s kernel requires {dtype}'
            return Breach(text, {"input": i, "types": [t.dtype]}, t)
    return None


def _no_kernel(op: Op) -> Breach | None:
    """A quantized operator of a type that has no integer kernel."""
    coded = [t for t in op.values() if codes(t) and not t.is_variable]
    if not coded or op.kind in CODES_TAKEN or op.kind in INTEGERS:
        return None
    dtype = coded[0].dtype
    return Breach(f"LiteRT has no {op.kind} kernel for quantized {dtype}", {"types": [dtype]})


CHECKS: Mapping[str, Check] = {
    "malformed-scale": malformed_parameters,
    "weight-axis": weight_axis,
    "bias-wrong-dtype": bias_type,
    "kernel-type-mismatch": kernel_types,
    "bias-not-vector": bias_shape,
    "same-scale-conflict": shared_scales,
    "fixed-output-scale": fixed_scale,
    "missing-bias": missing_bias,
    "bias-wrong-scale": bias_scale,
    "weight-zero-point": weight_zero_point,
    "weight-range": weight_range,
    "weight-type": weight_type,
    "raw-codes": raw_codes,
    "bias-width": bias_width,
    "scale-out-of-range": scales_in_range,
    "op-version-low": version,
}
"""Rule of the audit -> its check. `weight-axis` is part of malformed-scale. Operators that `weight-type`, `raw-codes` and
`bias-width` report may run, so the audit does not mention them, but fullint never writes them."""


def short(t: Tensor, most: int = 48) -> str:
    """A tensor's name, cut to its last `most` characters: exporters make names of hundreds of them."""
    return cut(t.name, most)


def show(quant: Quant) -> dict[str, Any]:
    """Quantization parameters as JSON values for `evidence`."""
    if quant.per_channel:
        return {"scales": quant.scale.size, "smallest": float(quant.scale.min()), "largest": float(quant.scale.max())}
    return {"scale": float(quant.scale[0]), "zero_point": int(quant.zero_point[0])}
