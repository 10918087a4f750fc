"""custom-operator: A custom or Flex operator computes in float.

What it does:
    Finds operators that are not TFLite builtins (CUSTOM operators, and TensorFlow's own, called Flex) with a float operand.

Why it matters:
    Only the author of a custom operator knows how to compute it on integers. Flex operators need TensorFlow's runtime
    and always compute in float, whatever the converter was asked for; no accelerator runs either kind.

Seen in:
    Detection models that end in TFLite_Detection_PostProcess; models converted with SELECT_TF_OPS.

Example:
    op 63 TFLite_Detection_PostProcess "detections": a custom operator has no known integer form

Fix (none):
    `fullint quantize` rewrites functions of one value (Erf, Tan, Asin, ...) and 3D pooling with builtins. Remove other
    custom operators from the model and run them after it, or replace them.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.passes import mediapipe_ops
from fullint.passes.custom_ops import has_builtin_form


def find(op: Op, facts: Facts) -> Found | None:
    """A CUSTOM operator with a float operand."""
    if op.kind != "CUSTOM":
        return None
    code = op.custom_code or ""
    if has_builtin_form(op):
        who = "MediaPipe" if code in mediapipe_ops.FROM_MEDIAPIPE else "TensorFlow"
        how = " (Flex)" if code.startswith("Flex") else ""
        return Found(f"{who} computes it{how}, in float", "fullint quantize rewrites it with builtins", {"code": code})
    if code.startswith("Flex"):
        return Found(
            "TensorFlow computes it (Flex), in float",
            "replace it with TFLite operators, or remove it from the model",
            {"code": code},
        )
    return Found("a custom operator has no known integer form", "remove it and run it after the model", {"code": code})


RULE = Rule("custom-operator", "error", (Scope.FLOAT,), Mend.NONE, True, __doc__, find)
