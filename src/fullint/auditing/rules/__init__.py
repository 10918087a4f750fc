"""The rules of `audit`, in order: a float operator gets the finding of the first rule that explains it."""

from __future__ import annotations

from fullint.auditing.rules import (
    bias_not_vector,
    bias_saturated,
    bias_wrong_dtype,
    bias_wrong_scale,
    constant_without_parameters,
    control_flow_boundary,
    converter_float_only,
    custom_operator,
    dynamic_shape,
    fixed_output_scale,
    float_border,
    float_io,
    float_neighbour,
    float_type,
    hybrid_weights,
    kernel_type_mismatch,
    left_float,
    legacy_uint8,
    malformed_scale,
    missing_bias,
    no_calibration_statistics,
    no_int8_kernel,
    no_integer_form,
    non_finite_constant,
    not_quantized,
    op_version,
    op_version_low,
    operand_wiped_out,
    requantize,
    requantize_clips,
    same_scale_conflict,
    saturated_values,
    scale_out_of_range,
    shared_constant_conflict,
    stablehlo_constants,
    useless_requantize,
    variable_state,
    weight_range,
    weight_zero_point,
)
from fullint.auditing.rules.base import Facts, Found, Mend, Rule, Scope
from fullint.model.ir import Op

BY_ITSELF: tuple[Rule, ...] = (
    malformed_scale.RULE,
    bias_wrong_dtype.RULE,
    custom_operator.RULE,
    float_type.RULE,
    non_finite_constant.RULE,
    no_integer_form.RULE,
    control_flow_boundary.RULE,
    no_int8_kernel.RULE,
    converter_float_only.RULE,
    variable_state.RULE,
    hybrid_weights.RULE,
    not_quantized.RULE,
    stablehlo_constants.RULE,
    kernel_type_mismatch.RULE,
    bias_not_vector.RULE,
    same_scale_conflict.RULE,
    fixed_output_scale.RULE,
    shared_constant_conflict.RULE,
)
"""Rules whose cause lies in the operator itself, the hardest to fix first."""


def reason(op: Op, facts: Facts) -> str | None:
    """Name of the rule that finds the cause of a float operator in the operator itself, or None."""
    if op not in facts.reasons:
        facts.reasons[op] = next((r.name for r in BY_ITSELF if Scope.FLOAT in r.scopes and r.find(op, facts)), None)
    return facts.reasons[op]


RULES: tuple[Rule, ...] = (
    *BY_ITSELF,
    float_neighbour.rule(reason),
    no_calibration_statistics.RULE,
    constant_without_parameters.RULE,
    left_float.RULE,
    useless_requantize.RULE,
    float_io.RULE,
    float_border.RULE,
    missing_bias.RULE,
    bias_wrong_scale.RULE,
    bias_saturated.RULE,
    weight_zero_point.RULE,
    weight_range.RULE,
    scale_out_of_range.RULE,
    legacy_uint8.RULE,
    op_version.RULE,
    op_version_low.RULE,
    requantize_clips.RULE,
    operand_wiped_out.RULE,
    saturated_values.RULE,
    requantize.RULE,
    dynamic_shape.RULE,
)
RULES_BY_NAME: dict[str, Rule] = {rule.name: rule for rule in RULES}

__all__ = ["RULES", "RULES_BY_NAME", "Facts", "Found", "Mend", "Rule", "Scope"]
