"""Custom operators that are written with builtins: LiteRT cannot run the model otherwise, so this comes before calibration."""

from __future__ import annotations

from fullint.model.ir import Model, Op
from fullint.passes import mediapipe_ops, tensorflow_ops
from fullint.passes.engine import RewriteRule, sweep
from fullint.reporting import Change

CUSTOM_RULES: tuple[RewriteRule, ...] = (
    tensorflow_ops.unary_as_builtins,
    tensorflow_ops.pool_3d_as_2d,
    mediapipe_ops.transpose_conv_with_bias,
    mediapipe_ops.unpool,
    mediapipe_ops.pool_without_indices,
)


def has_builtin_form(op: Op) -> bool:
    """Whether a custom operator is one that these rules can write."""
    return tensorflow_ops.tensorflow_name(op) in tensorflow_ops.FROM_TENSORFLOW or op.custom_code in mediapipe_ops.FROM_MEDIAPIPE


def without_custom(model: Model) -> list[Change]:
    """Rewrite all known custom operators with builtins, in place."""
    if not any(op.kind == "CUSTOM" for _, op in model.ops()):
        return []
    changes = [change for rule in CUSTOM_RULES for change in sweep(model, rule)]
    for graph in model.graphs:
        graph.sync_tensors()
    return changes
