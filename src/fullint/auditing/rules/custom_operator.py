"""custom-operator: A custom or Flex operator computes in float.

What it does:
    Finds operators that are no builtins of TFLite: CUSTOM ones, and TensorFlow's own (Flex), with a float operand.

Why it matters:
    Nobody but their author knows an integer form of them. Flex operators drag TensorFlow's runtime along and
    compute in float whatever was asked of the converter; no accelerator takes either.

Seen in:
    Detection models that end in TFLite_Detection_PostProcess; models converted with SELECT_TF_OPS.

Example:
    op 63 TFLite_Detection_PostProcess "detections": LiteRT knows no integer form of a custom operator

Fix (none):
    `fullint quantize` writes functions of one number (Erf, Tan, Asin, ...) and 3D pooling with builtins. Others: cut
    them off and run them behind the network, or replace them.
"""

from __future__ import annotations

from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op
from fullint.passes.tensorflow_ops import WRITTEN, tensorflow_name


def find(op: Op, facts: Facts) -> Found | None:
    """A CUSTOM operator with a float operand."""
    if op.kind != "CUSTOM":
        return None
    code = op.custom_code or ""
    if tensorflow_name(op) in WRITTEN:
        return Found("TensorFlow itself computes it, in float", "fullint quantize writes it with builtins", {"code": code})
    if code.startswith("Flex"):
        return Found(
            "TensorFlow itself computes it (flex), in float",
            "replace it by operators that TFLite has, or cut it off",
            {"code": code},
        )
    return Found("a custom operator has no integer form anybody else knows", "cut it off, behind the network", {"code": code})


RULE = Rule("custom-operator", "error", (Scope.FLOAT,), Mend.NONE, True, __doc__, find)
