"""The layer an operator comes from, taken from its output's name; of merged names, the last that fits the operator.

"functional_1/conv2d_3_1/convolution1"                   conv2d_3_1
"StatefulPartitionedCall/model/dense/MatMul;model/dense/BiasAdd"     dense
"net.body.0.Conv2d_conv;"                                net.body.0.Conv2d_conv
"""

from __future__ import annotations

import re

from fullint.model.ir import Op

_WRAPPERS = re.compile(
    r"^(StatefulPartitionedCall|PartitionedCall|serving_default|model(_\d+)?|functional(_\d+)?|sequential(_\d+)?)$"
)
_WORDS = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "TRANSPOSE_CONV": "transpose", "FULLY_CONNECTED": "matmul"}


def layer_of(op: Op) -> str | None:
    """Name of the layer, or None if the output's name does not contain one."""
    parts = [p for p in op.output_name.split(";") if p]
    word = _WORDS.get(op.kind, op.kind.lower().replace("_", ""))
    named = [p for p in parts if word in p.rpartition("/")[2].lower().replace("_", "")]
    part = named[-1] if named else parts[0] if parts else ""
    if "/" not in part:
        return part if len(parts) >= 1 and op.output_name.endswith(";") and part else None
    steps = [s for s in part.split("/")[:-1] if not _WRAPPERS.match(s)]
    return steps[-1] if steps else None
