"""Preparation: the passes, in order, that rewrite a float model with operators that the op table knows."""

from __future__ import annotations

from collections.abc import Callable

from fullint.model.ir import Graph, Model, Uses
from fullint.ops.structure import check_structure
from fullint.passes.arithmetic import (
    add_n_as_adds,
    cast_of_bool,
    l2_pool_as_average,
    neg_as_mul,
    pow_as_itself,
    square_as_mul,
    sum_as_mean,
    zero_minus_as_neg,
)
from fullint.passes.atan2 import atan2_apart
from fullint.passes.bias_vector import bias_apart, bias_vector
from fullint.passes.composite import inline_composite, own_subgraphs
from fullint.passes.constant_results import (
    cast_as_nothing,
    embedding_as_gather,
    fake_quant_as_nothing,
    without_empty,
    zeros_as_constant,
)
from fullint.passes.conv3d import conv_3d_as_2d, conv_3d_transpose_as_2d
from fullint.passes.cumsum_lrn import cumsum_as_dense, lrn_as_product
from fullint.passes.div import div_as_product, inverse_as_exp
from fullint.passes.drop_unused import drop_unused
from fullint.passes.engine import Evaluate, RewriteRule, sweep
from fullint.passes.expand_constants import expand_dequantize, expand_hybrid, finite_masks
from fullint.passes.fold_affine import fold_affine_after, fold_mul_before
from fullint.passes.fuse_activation import fuse_activation
from fullint.passes.global_pool import whole_pool_as_mean
from fullint.passes.int16_forms import difference_apart, prelu_apart, wide_lookup, wide_lookup_lacking
from fullint.passes.layers_apart import layers_apart
from fullint.passes.lookup import collapse, collapse_lacking, recognise
from fullint.passes.matmul import matmuls_as_dense
from fullint.passes.nan_select import nan_branch
from fullint.passes.prelu import prelu_as_itself, prelu_of_relus
from fullint.passes.recurrent import bidirectional_apart
from fullint.passes.rfft import rfft_as_dense
from fullint.passes.scatter import list_update, scatter_as_gather, segment_sum_as_dense
from fullint.passes.softmax import softmax_as_itself
from fullint.passes.sum_bias import constant_into_bias
from fullint.reporting import Change

FIRST: tuple[RewriteRule, ...] = (
    expand_dequantize,
    expand_hybrid,
    finite_masks,
    fake_quant_as_nothing,
    cast_as_nothing,
    zeros_as_constant,
    without_empty,
    embedding_as_gather,
    bidirectional_apart,
    conv_3d_as_2d,
    conv_3d_transpose_as_2d,
    atan2_apart,
    list_update,
    scatter_as_gather,
    segment_sum_as_dense,
    rfft_as_dense,
    nan_branch,
    cast_of_bool,
    zero_minus_as_neg,
    prelu_as_itself,
    prelu_of_relus,
    softmax_as_itself,
    l2_pool_as_average,
    cumsum_as_dense,
    lrn_as_product,
)
"""Constants first, so that folds see float32."""
FOLDS: tuple[RewriteRule, ...] = (
    fold_affine_after,
    fold_mul_before,
    constant_into_bias,
    fuse_activation,
    add_n_as_adds,
    pow_as_itself,
    square_as_mul,
    neg_as_mul,
    sum_as_mean,
    whole_pool_as_mean,
    div_as_product,
)
"""Before activations are fused, since a fused activation prevents folding; rewrites with other operators before chains are
collapsed into look-ups."""
WIDE: tuple[RewriteRule, ...] = (difference_apart, prelu_apart)
"""For 16-bit activations only."""
LAST: tuple[RewriteRule, ...] = (fuse_activation, bias_apart, bias_vector)
"""The bias last, since folds make and change it."""


def prepare(
    model: Model,
    evaluate: Evaluate,
    lookups: bool = True,
    wide: bool = False,
    forms: tuple[RewriteRule, ...] = (),
    check: Callable[[Model], None] = check_structure,
) -> list[Change]:
    """Run all passes in place; the structure is checked after each pass that changed something.

    Args:
        model: a model with static shapes.
        evaluate: runs a model without inputs and returns its outputs.
        lookups: whether the target runs look-up tables; if not, only operators without a kernel become one.
        wide: whether activations are int16.
        forms: rules for what the target has no kernel for.
        check: raises an error if the structure is broken.
    """
    changes = sweep(model, inline_composite)
    changes += own_subgraphs(model)
    changes += drop_unused(model)
    changes += _all(model, (*FIRST, matmuls_as_dense(), *FOLDS, layers_apart(evaluate)), check)
    changes += _all(model, (collapse,) if lookups else (*forms, inverse_as_exp, collapse_lacking), check)
    changes += recognise(model, evaluate, lookups)
    check(model)
    if wide:
        changes += _all(model, (*WIDE, wide_lookup) if lookups else (*WIDE, *forms, wide_lookup_lacking), check)
    changes += _all(model, (*forms, *LAST), check)
    return changes + drop_unused(model)


def _all(model: Model, rules: tuple[RewriteRule, ...], check: Callable[[Model], None]) -> list[Change]:
    changes: list[Change] = []
    known: dict[Graph, Uses] = {}
    for rule in rules:
        done = sweep(model, rule, known)
        changes += done
        if any(c.done for c in done):
            check(model)
    return changes
