"""bias-saturated: The bias of some channels is at an end of int32.

What it does:
    Finds operators with weights whose bias has the largest or smallest integer of int32 in some channels.

Why it matters:
    The bias was too large for its scale, s_in * s_w, and was cut off: what the channel adds is lost, and the accumulator may
    overflow besides. The network runs, and is wrong where such a channel counts.

Seen in:
    Channels whose weights are all zero, as pruning and RELU leave them: tools that give them a tiny scale lose the constant
    that the channel stands for (litert-quantizer, channels of MobileNet).

Example:
    op 22 CONV_2D "block": the bias of 101 of its 128 channels is at an end of int32: 51, 22, 65 and more

Fix (none):
    The value is no longer in the file: quantize the float model again, with `fullint quantize`, which gives such channels a
    scale that their bias fits in.
"""

from __future__ import annotations

import numpy as np

from fullint.auditing.rules.base import QUANTIZE_IT, Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.model.numerics import saturated
from fullint.ops import ROWS

CHANNELS_NAMED = 3


def find(op: Op, facts: Facts) -> Found | None:
    """Channels whose bias is cut off."""
    row = ROWS.get(op.kind)
    b = op.input(row.bias) if row is not None and row.bias is not None else None
    if b is None or b.buffer is None or b.dtype != "int32":
        return None
    channels = [int(c) for c in np.flatnonzero(saturated(b.array.reshape(-1)))]
    if not channels:
        return None
    named = ", ".join(map(str, channels[:CHANNELS_NAMED])) + (" and more" if len(channels) > CHANNELS_NAMED else "")
    where = f"{len(channels)} of its {b.size} channels is at an end of int32: {named}"
    return Found(f"the bias of {where}", f"quantize the float model again ({QUANTIZE_IT})", {"channels": channels[:64]})


RULE = Rule("bias-saturated", "error", (Scope.INTEGER,), Mend.NONE, True, __doc__, find, right=True, bearable=True)
