"""Types of the drop-in converter's attributes, for type checkers and editors; `attributes` says what each one does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fullint.compat.attributes import TargetSpec
    from fullint.frontends.report import Conversion
    from fullint.options.recipes import RecipeSource
    from fullint.quantization.report import QuantizeReport


class ConverterAttributes:
    """TensorFlow's attributes, fullint's own, and those that `convert()` sets."""

    if TYPE_CHECKING:
        optimizations: Any
        representative_dataset: Any
        target_spec: TargetSpec
        inference_input_type: Any
        inference_output_type: Any
        experimental_new_quantizer: bool
        experimental_new_converter: bool
        experimental_new_dynamic_range_quantizer: bool
        _experimental_disable_per_channel: bool
        _experimental_disable_per_channel_quantization_for_dense_layers: bool
        allow_custom_ops: bool
        exclude_conversion_metadata: bool
        _experimental_full_integer_quantization_bias_type: Any
        _experimental_variable_quantization: bool
        _experimental_calibrate_only: bool
        _experimental_low_bit_qat: bool
        _experimental_strict_qdq: bool
        _experimental_qdq_conversion_mode: Any
        _experimental_sparsify_model: bool
        _experimental_reduce_type_precision: bool
        experimental_use_stablehlo_quantizer: bool
        experimental_stablehlo_quantizer_config: Any
        _experimental_quantization_options: Any
        _experimental_tf_quantization_mode: Any
        experimental_lower_to_saved_model: bool
        experimental_enable_resource_variables: bool
        unfold_batchmatmul: bool
        legalize_custom_tensor_list_ops: bool
        canonicalizing_inf_as_min_max_float: bool
        model_origin_framework: Any
        _experimental_lower_tensor_list_ops: bool
        _experimental_default_to_single_batch_in_tensor_list_ops: bool
        _experimental_unfold_large_splat_constant: bool
        _experimental_disable_fuse_mul_and_fc: bool
        _experimental_enable_dynamic_update_slice: bool
        _experimental_preserve_assert_op: bool
        _experimental_guarantee_all_funcs_one_use: bool
        _experimental_use_buffer_offset: bool
        _experimental_allow_all_select_tf_ops: bool
        _experimental_enable_composite_direct_lowering: bool
        _experimental_unsafe_fuse_dynamic_shaped_broadcast: bool
        serialize_debug_metadata: bool
        ir_dump_dir: Any
        ir_dump_pass_regex: Any
        ir_dump_func_regex: Any
        enable_timing: Any
        print_ir_before: Any
        print_ir_after: Any
        print_ir_module_scope: Any
        elide_elementsattrs_if_larger: Any
        num_samples: int | None
        threads: int | None
        effort: str
        certify: str
        min_sqnr: float
        keep_float: str | int | Sequence[str | int] | None
        int16: str | int | Sequence[str | int] | None
        split_outputs: bool
        ranges: str | Sequence[str]
        allow_lost: str | Sequence[str]
        seed: int
        drop_outliers: bool
        strict_samples: bool
        mixed: float | str | None
        recipe: RecipeSource | None
        target: str
        shape: str | Sequence[str]
        batch: int
        report: QuantizeReport
        conversion: Conversion | None
        float_model: str | Path | bytes
