"""dynamic-shape: A dimension of an input is open.

What it does:
    Finds inputs whose shape signature has a -1.

Why it matters:
    Accelerators want every shape at compile time: a dynamic batch alone makes the Edge TPU compiler say "model not
    quantized". Every shape computation (SHAPE, STRIDED_SLICE, PACK) stays on the CPU.

Seen in:
    Keras models, whose batch is open unless set; image models for any size.

Example:
    input "image": its shape is [-1, 224, 224, 3]; the batch is open

Fix (safe):
    An open batch is fixed at 1 (--batch); other dimensions need --shape.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Graph, Tensor


def find_end(tensor: Tensor, graph: Graph, facts: Facts) -> Found | None:
    """An open dimension; of the batch alone it is a note."""
    signature = tensor.shape_signature or tensor.shape
    if tensor not in graph.inputs or -1 not in signature:
        return None
    only_batch = -1 not in signature[1:]
    what = "the batch is open" if only_batch else "dimensions besides the batch are open"
    fix = "fix it at 1 (--batch 1)" if only_batch else "fix them (--shape)"
    level = "note" if only_batch else None
    return Found(f"its shape is {list(signature)}; {what}", fix, {"signature": list(signature)}, level)


RULE = Rule("dynamic-shape", "warning", (Scope.END,), Mend.SHAPE, True, __doc__, find_end=find_end)
