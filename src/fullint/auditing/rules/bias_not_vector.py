"""bias-not-vector: The bias is no vector with one value per output channel.

What it does:
    Finds operators with weights whose bias has another shape than [channels].

Why it matters:
    The integer kernels take a vector. Where an ADD of a constant [1, 1, 1, C] was folded into a convolution, the
    converter could not quantize it and left the convolution in float, or the runtime refuses the model.

Seen in:
    Convolution without bias followed by an addition, exported by hand-written graph code.

Example:
    op 5 CONV_2D "conv": its bias "add/y" has the shape [1, 1, 1, 64], the kernel takes [64]

Fix (safe):
    The constant is reshaped; one value stands for all channels.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope, short, weighted
from fullint.model.ir import Op


def find(op: Op, facts: Facts) -> Found | None:
    """A bias of another shape than [channels]."""
    found = weighted(op)
    if found is None or found[3] is None or found[0].axis is None:
        return None
    row, _, w, b = found
    assert b is not None and row.axis is not None
    channels = w.shape[row.axis] if len(w.shape) > row.axis else 0
    if b.shape == (channels,) or not channels:
        return None
    cause = f'its bias "{short(b)}" has the shape {list(b.shape)}, the kernel takes [{channels}]'
    return Found(cause, "make it a vector", {"shape": list(b.shape), "channels": channels})


RULE = Rule("bias-not-vector", "error", (Scope.FLOAT, Scope.INTEGER), Mend.LIFT, True, __doc__, find)
