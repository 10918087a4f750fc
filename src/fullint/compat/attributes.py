"""Every attribute of TensorFlow Lite's converter, and what fullint does with it.

Each row has TensorFlow's default, whether the value is passed on to TensorFlow's float conversion, and which values fullint
refuses, with the message. A name without a row raises AttributeError; TensorFlow silently accepts it.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, fields
from typing import Any

from fullint.errors import UsageError
from fullint.options import QuantizeOptions, flag_of


class Optimize(enum.Enum):
    """Stands in for tf.lite.Optimize."""

    DEFAULT = "DEFAULT"
    OPTIMIZE_FOR_SIZE = "OPTIMIZE_FOR_SIZE"
    OPTIMIZE_FOR_LATENCY = "OPTIMIZE_FOR_LATENCY"
    EXPERIMENTAL_SPARSITY = "EXPERIMENTAL_SPARSITY"


class OpsSet(enum.Enum):
    """Stands in for tf.lite.OpsSet."""

    TFLITE_BUILTINS = "TFLITE_BUILTINS"
    SELECT_TF_OPS = "SELECT_TF_OPS"
    TFLITE_BUILTINS_INT8 = "TFLITE_BUILTINS_INT8"
    EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
    EXPERIMENTAL_STABLEHLO_OPS = "EXPERIMENTAL_STABLEHLO_OPS"


Refuses = Callable[[Any], str | None]


@dataclass(frozen=True)
class Attribute:
    """One attribute of the converter.

    Attributes:
        default: TensorFlow's default.
        says: what fullint does with it, for the documentation.
        refuses: value -> the message if it is not supported, or None.
        handed_on: whether the value is passed on to TensorFlow's float conversion.
    """

    default: Any
    says: str
    refuses: Refuses = lambda value: None
    handed_on: bool = False


def name_of(value: Any) -> str:
    """The name of an enumeration member, a type or a string: tf.int8, numpy.int8 and "int8" all give "int8"."""
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return str(name if name is not None else value)


def names_of(values: Any) -> list[str]:
    """The names of several values; a single value counts as a list of one."""
    one = isinstance(values, str | enum.Enum) or not isinstance(values, Iterable)
    return [name_of(v) for v in ([values] if one else values)]


def _io(value: Any) -> str | None:
    kinds = ("float32", "int8", "uint8", "int16")
    return None if name_of(value) in kinds else f"must be one of {', '.join(kinds)}, not {name_of(value)}"


def _optimizations(value: Any) -> str | None:
    names = names_of(value)
    if "EXPERIMENTAL_SPARSITY" in names:
        return "fullint writes dense weights: remove EXPERIMENTAL_SPARSITY"
    unknown = [n for n in names if n not in Optimize.__members__]
    return f"unknown optimization {unknown[0]}" if unknown else None


def _sets(value: Any) -> str | None:
    names = names_of(value)
    unknown = [n for n in names if n not in OpsSet.__members__]
    if unknown:
        return f"unknown set of operators {unknown[0]}"
    if OpsSet.EXPERIMENTAL_STABLEHLO_OPS.name in names:
        return "StableHLO operators have no integer kernels: remove EXPERIMENTAL_STABLEHLO_OPS"
    if INT16_OPS.name in names and OpsSet.TFLITE_BUILTINS_INT8.name in names:
        return "int8 and int16 activations exclude each other: give only one of the two sets"
    return None


def _types(value: Any) -> str | None:
    wrong = [n for n in names_of(value) if n != "int8"]
    return f"{wrong[0]} weights are not integer: leave supported_types empty, or [tf.int8]" if wrong else None


def _samples(value: Any) -> str | None:
    fine = value is None or callable(value) or callable(getattr(value, "input_gen", None)) or isinstance(value, Iterable)
    return None if fine else "must be a function that yields the inputs of one sample at a time"


def _bias(value: Any) -> str | None:
    fine = value is None or name_of(value) in ("int32", "int64")
    return None if fine else "the kernels require int32 biases, or int64 with int16 activations"


INT16_OPS = OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
_FLOAT = "affects the float conversion: passed on to TensorFlow"
_NOTHING = "no effect: fullint has a single quantizer and converter"
_DEBUG = "debugs TensorFlow's passes: passed on to TensorFlow"


def _refused(default: Any, why: str) -> Attribute:
    """A row that refuses every value but TensorFlow's default."""
    return Attribute(default, "refused", lambda value: None if value == default else why)


def _handed_on(default: Any, says: str = _FLOAT) -> Attribute:
    return Attribute(default, says, handed_on=True)


ATTRIBUTES: dict[str, Attribute] = {
    "optimizations": Attribute(
        set(), "DEFAULT or one of its older names: all integer; if empty, convert() raises an error", _optimizations
    ),
    "representative_dataset": Attribute(
        None, "the samples: a function, tf.lite.RepresentativeDataset, or any iterable", _samples
    ),
    "target_spec": Attribute(None, "supported_ops and supported_types, see below"),
    "inference_input_type": Attribute("float32", "float32, int8, uint8 or int16", _io),
    "inference_output_type": Attribute("float32", "float32, int8, uint8 or int16", _io),
    "experimental_new_quantizer": Attribute(True, _NOTHING),
    "experimental_new_converter": Attribute(True, _NOTHING),
    "experimental_new_dynamic_range_quantizer": Attribute(True, _NOTHING),
    "_experimental_disable_per_channel": Attribute(False, "one scale per weight tensor"),
    "_experimental_disable_per_channel_quantization_for_dense_layers": Attribute(
        False, "one scale per weight tensor of FULLY_CONNECTED"
    ),
    "allow_custom_ops": Attribute(
        False, "custom operators pass TensorFlow's conversion and are then reported: they cannot be integer", handed_on=True
    ),
    "exclude_conversion_metadata": _handed_on(False, "True: no CONVERSION_METADATA in the file"),
    "_experimental_full_integer_quantization_bias_type": Attribute(None, "int32, or int64 with int16 activations", _bias),
    "_experimental_variable_quantization": Attribute(False, "no effect: variables are always integer"),
    "_experimental_calibrate_only": _refused(False, "convert() always makes the model; use fullint.plan to see the calibration"),
    "_experimental_low_bit_qat": _refused(False, "fullint writes 8-bit weights"),
    "_experimental_strict_qdq": _refused(False, "fullint always uses the quantization parameters that a model contains"),
    "_experimental_qdq_conversion_mode": _refused(None, "fullint always uses the quantization parameters that a model contains"),
    "_experimental_sparsify_model": _refused(False, "fullint writes dense weights"),
    "_experimental_reduce_type_precision": _refused(False, "fullint writes int8 weights"),
    "experimental_use_stablehlo_quantizer": _refused(False, "fullint quantizes the model, not StableHLO's quantizer"),
    "experimental_stablehlo_quantizer_config": _refused(None, "fullint quantizes the model, not StableHLO's quantizer"),
    "_experimental_quantization_options": _refused(None, "fullint quantizes the model; use fullint's own options"),
    "_experimental_tf_quantization_mode": _refused(None, "fullint quantizes the model, not TensorFlow's quantizer"),
    "experimental_lower_to_saved_model": _refused(True, "fullint converts through a SavedModel, as TensorFlow does by default"),
    "experimental_enable_resource_variables": _handed_on(True),
    "unfold_batchmatmul": _handed_on(False),
    "legalize_custom_tensor_list_ops": _handed_on(False),
    "canonicalizing_inf_as_min_max_float": _handed_on(True),
    "model_origin_framework": _handed_on("UNSET"),
    "_experimental_lower_tensor_list_ops": Attribute(
        True, "no effect: lists are always lowered, since TensorFlow's own operators for them have no integer form"
    ),
    "_experimental_default_to_single_batch_in_tensor_list_ops": _handed_on(False),
    "_experimental_unfold_large_splat_constant": _handed_on(False),
    "_experimental_disable_fuse_mul_and_fc": _handed_on(False),
    "_experimental_enable_dynamic_update_slice": _handed_on(False),
    "_experimental_preserve_assert_op": _handed_on(False),
    "_experimental_guarantee_all_funcs_one_use": _handed_on(False),
    "_experimental_use_buffer_offset": _handed_on(False),
    "_experimental_allow_all_select_tf_ops": _handed_on(False),
    "_experimental_enable_composite_direct_lowering": _handed_on(True),
    "_experimental_unsafe_fuse_dynamic_shaped_broadcast": _handed_on(False),
    "serialize_debug_metadata": _handed_on(False, _DEBUG),
    "ir_dump_dir": _handed_on(None, _DEBUG),
    "ir_dump_pass_regex": _handed_on(None, _DEBUG),
    "ir_dump_func_regex": _handed_on(None, _DEBUG),
    "enable_timing": _handed_on(None, _DEBUG),
    "print_ir_before": _handed_on(None, _DEBUG),
    "print_ir_after": _handed_on(None, _DEBUG),
    "print_ir_module_scope": _handed_on(None, _DEBUG),
    "elide_elementsattrs_if_larger": _handed_on(None, _DEBUG),
}
TARGET_ATTRIBUTES: dict[str, Attribute] = {
    "supported_ops": Attribute(
        {OpsSet.TFLITE_BUILTINS},
        "TFLITE_BUILTINS_INT8: int8; the 16x8 set: int16 activations; TFLITE_BUILTINS and SELECT_TF_OPS have no effect: "
        "no operator falls back to float, and TensorFlow operators are rewritten with builtins or reported as an error",
        _sets,
    ),
    "supported_types": Attribute(set(), "empty, or int8", _types),
    "experimental_select_user_tf_ops": Attribute(
        set(), "refused", lambda v: "custom TensorFlow operators have no integer kernels" if v else None
    ),
    "experimental_supported_backends": Attribute(None, "refused", lambda v: "use converter.target instead" if v else None),
    "_experimental_custom_op_registerers": Attribute(
        [], "refused", lambda v: "custom operators have no integer kernels" if v else None
    ),
    "_experimental_supported_accumulation_type": _refused(None, "int8 operators accumulate in 32 bits"),
}
OWN = tuple(f.name for f in fields(QuantizeOptions) if flag_of(f).converter)
"""Options of `fullint.quantize` that are also attributes of the converter."""


def no_attribute(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for an unknown attribute, with the closest known name."""
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    return AttributeError(f"{owner} has no attribute {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")


def check(name: str, value: Any, rows: dict[str, Attribute]) -> None:
    """Raise UsageError if an attribute's value is not supported."""
    row = rows[name]
    why = row.refuses(value)
    if why is None and isinstance(row.default, bool) and not isinstance(value, bool):
        why = f"must be True or False, not {value!r}"
    if why is not None:
        raise UsageError(f"{name}: {why}")


class TargetSpec:
    """Stands in for tf.lite.TargetSpec."""

    supported_ops: Any
    supported_types: Any

    def __init__(self, supported_ops: Any = None, supported_types: Any = None) -> None:
        for name, row in TARGET_ATTRIBUTES.items():
            object.__setattr__(self, name, copy(row.default))
        self.supported_ops = {OpsSet.TFLITE_BUILTINS} if supported_ops is None else supported_ops
        self.supported_types = set() if supported_types is None else supported_types

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in TARGET_ATTRIBUTES:
            raise no_attribute("TargetSpec", name, TARGET_ATTRIBUTES)
        check(name, value, TARGET_ATTRIBUTES)
        object.__setattr__(self, name, value)

    def check(self) -> None:
        """Raise UsageError if a value is not supported; sets and lists may have changed since they were assigned."""
        for name in TARGET_ATTRIBUTES:
            check(name, getattr(self, name), TARGET_ATTRIBUTES)

    @classmethod
    def of(cls, other: Any) -> TargetSpec:
        """Convert a tf.lite.TargetSpec."""
        if not hasattr(other, "supported_ops"):
            raise UsageError(f"target_spec: must be a TargetSpec, not {other!r}")
        return cls(getattr(other, "supported_ops", None), getattr(other, "supported_types", None))
