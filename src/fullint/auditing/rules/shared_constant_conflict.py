"""shared-constant-conflict: Operators that share one constant need it with different scales.

What it does:
    Finds float operators that share a float constant with others, where each needs it with its own parameters:
    a bias needs s_in * s_w, which differs from one convolution to the next; the constant of a comparison or a clip needs
    the scale of the value it is compared with.

Why it matters:
    A tensor has one scale. Where one constant (often a vector of zeros, or a scalar 0) serves many operators, the
    converter can give it parameters for at most one of them. The others keep a float operand and silently stay float.
    Nothing is wrong with these operators except the shared constant.

Seen in:
    Convolutions without bias followed by an addition of a constant that the exporter merged with equal ones (the case
    fullint was made for); biases and beta of BatchNormalization that are both zero; PReLU written as
    SELECT(x > 0, x, a x), where every comparison reads one scalar 0.

Example:
    op 5 CONV_2D "conv_3": its bias "zeros" is shared with op 23 CONV_2D, op 36 CONV_2D; each needs its own scale, this
    one 0.00021

Fix (safe):
    Each operator gets a copy of its own.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, float_constants, name_of
from fullint.model.ir import Op, Quant, Tensor
from fullint.ops import ROWS, Role
from fullint.verification.operator_checks import short, show


def find(op: Op, facts: Facts) -> Found | None:
    """A float constant shared with operators that need it with other parameters."""
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
        cause = f'its {role} "{short(t)}" is shared with {named}; each needs its own scale, this one {_short(own)}'
        scales = {name_of(o): show(q) for o, q in {op: own, **wanted}.items()}
        return Found(cause, "give each operator its own copy", {"input": i, "constant": t.name, "needed": scales})
    return None


def needed(op: Op, index: int, t: Tensor, facts: Facts) -> Quant | None:
    """Parameters an operator needs for a float constant, or None if the file does not determine them."""
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
