"""Preparation: the passes that bring a float model into the form the op table speaks of, in order."""

from __future__ import annotations

from collections.abc import Callable

from fullint.ir import Model
from fullint.passes.activations import fuse_activation
from fullint.passes.affine import fold_affine_after, fold_mul_before
from fullint.passes.arithmetic import neg_as_mul, sum_as_mean
from fullint.passes.bias import bias_vector
from fullint.passes.division import div_as_product
from fullint.passes.drop_unused import drop_unused
from fullint.passes.expand_constants import expand_dequantize, expand_hybrid
from fullint.rewrite import Change, Rule, sweep
from fullint.verify import check_structure

PREPARE: tuple[Rule, ...] = (
    expand_dequantize,
    expand_hybrid,
    fold_affine_after,
    fold_mul_before,
    fuse_activation,
    neg_as_mul,
    sum_as_mean,
    div_as_product,
    bias_vector,
)
"""Constants first, so that the folds see float32; the folds before activations are fused, since a
fused activation ends a fold; the bias last, since folds make and change it."""


def prepare(model: Model, check: Callable[[Model], None] = check_structure) -> list[Change]:
    """Run all of them in place; the structure is verified after each that did something."""
    changes = drop_unused(model)
    for rule in PREPARE:
        done = sweep(model, rule)
        changes += done
        if any(c.done for c in done):
            check(model)
    return changes + drop_unused(model)
