"""dynamic-shape: An input has a dynamic dimension.

What it does:
    Finds inputs whose shape signature contains -1.

Why it matters:
    Accelerators need all shapes at compile time: a dynamic batch alone makes the Edge TPU compiler report "model not
    quantized". Operators that compute shapes (SHAPE, STRIDED_SLICE, PACK) stay on the CPU.

Seen in:
    Keras models, whose batch is dynamic unless set; image models for any size.

Example:
    input "image": its shape is [-1, 224, 224, 3]; the batch is dynamic

Fix (safe):
    A dynamic batch is fixed at 1 (--batch); other dimensions need --shape.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Graph, Tensor


def find_end(tensor: Tensor, graph: Graph, facts: Facts) -> Found | None:
    """A dynamic dimension; a note if only the batch is dynamic."""
    signature = tensor.shape_signature or tensor.shape
    if tensor not in graph.inputs or -1 not in signature:
        return None
    only_batch = -1 not in signature[1:]
    what = "the batch is dynamic" if only_batch else "dimensions other than the batch are dynamic"
    fix = "fix it at 1 (--batch 1)" if only_batch else "fix them (--shape)"
    level = "note" if only_batch else None
    return Found(f"its shape is {list(signature)}; {what}", fix, {"signature": list(signature)}, level)


RULE = Rule("dynamic-shape", "warning", (Scope.END,), Mend.SHAPE, True, __doc__, find_end=find_end)
