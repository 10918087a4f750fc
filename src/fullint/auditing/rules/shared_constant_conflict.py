"""shared-constant-conflict: One constant is read by operators that need it in different scales.

What it does:
    Finds float operators that share a float constant with others, where each would need it with parameters of its own:
    a bias needs s_in * s_w, which differs from one convolution to the next; the constant of a comparison or a clip needs
    the scale of what it is compared with.

Why it matters:
    A tensor has one scale. Where one constant (often a vector of zeros, or a scalar 0) serves many operators, the
    converter can give it parameters for one of them at best; the others keep a float operand, and with it stay float
    altogether, in silence. The network looks as if these convolutions were special; nothing is but their constant.

Seen in:
    Convolutions without bias followed by an addition of a constant that the exporter merged with equal ones (the case
    fullint was made for); biases and beta of BatchNormalization that are both zero; PReLU written as
    SELECT(x > 0, x, a x), where every comparison reads one scalar 0.

Example:
    op 5 CONV_2D "conv_3": its bias "zeros" is read by op 23 and op 36 too; they would need it in scales 0.00021, 0.0018
    and 0.00034

Fix (safe):
    Each operator gets a copy of its own.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants, name_of
from fullint.model.ir import Op, Quant, Tensor
from fullint.ops import ROWS, Role
from fullint.verification.operator_checks import short, show


def find(op: Op, facts: Facts) -> Found | None:
    """A constant that others read as well, in other parameters."""
    for i, t in float_constants(op):
        others = [(reader, j) for reader, j in facts.holders[t.buffer] if reader is not op] if t.buffer is not None else []
        if not others:
            continue
        own = needed(op, i, t, facts)
        wanted = {reader: q for reader, j in others if (q := needed(reader, j, t, facts)) is not None}
        if own is None or all(own.same_as(q) for q in wanted.values()):
            continue
        role = "bias" if _role(op, i) is Role.BIAS else "constant"
        readers = sorted({reader for reader, _ in others}, key=lambda o: o.origin)
        named = ", ".join(name_of(o) for o in readers[:4]) + (f" and {len(readers) - 4} more" if len(readers) > 4 else "")
        cause = f'its {role} "{short(t)}" is read by {named} too; each would need a scale of its own, this one {_short(own)}'
        scales = {name_of(o): show(q) for o, q in {op: own, **wanted}.items()}
        return Found(cause, "give each its own copy", {"input": i, "constant": t.name, "needed": scales})
    return None


def needed(op: Op, index: int, t: Tensor, facts: Facts) -> Quant | None:
    """Parameters an operator would need of a float constant, where the file lets them be known."""
    role = _role(op, index)
    if role is Role.BIAS:
        return facts.bias_scale(op)
    if role is Role.SAME:
        row = ROWS[op.kind]
        near = [o for j, o in enumerate(op.inputs) if j != index and o is not None and row.role(j) is Role.SAME]
        return next((q for o in [*near, *op.outputs] if o.is_float and (q := facts.params(o)) is not None), None)
    return None


def _role(op: Op, index: int) -> Role | None:
    row = ROWS.get(op.kind)
    return row.role(index) if row is not None else None


def _short(quant: Quant) -> str:
    if not quant.per_channel:
        return f"{float(quant.scale[0]):.4g}"
    return f"{float(quant.scale.min()):.4g} to {float(quant.scale.max()):.4g} (one per channel)"


RULE = Rule("shared-constant-conflict", "error", (Scope.FLOAT,), Mend.QUANTIZE, True, __doc__, find)
