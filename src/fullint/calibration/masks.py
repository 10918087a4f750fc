"""Attention masks among the constants of a model, and the softmax inputs that they are added to."""

from __future__ import annotations

from fullint.model.ir import Model, Tensor
from fullint.ops import traits_of

MASK = 1e3
"""Constants beyond it are taken for masks: no score is that large."""


def has_masks(model: Model) -> bool:
    """Whether some constant looks like an attention mask."""
    return any(
        t is not None and t.buffer is not None and t.dtype == "float32" and t.size > 0 and float(t.array.min()) < -MASK
        for _, op in model.ops()
        if traits_of(op.kind).reads_masks
        for t in op.inputs
    )


def softmax_inputs(model: Model) -> list[Tensor]:
    """What softmax reads in the main graph, where masks make its smallest row maximum worth knowing."""
    if not has_masks(model):
        return []
    return [t for op in model.main.ops if traits_of(op.kind).softmax and (t := op.inputs[0]) is not None and t.dtype == "float32"]
