"""How each builtin operator without a row in the op table becomes integer, or why it cannot.

Together with the rows this covers all operators of TFLite. docs/ops.md is generated from both, a test checks that none is
missing, and error messages take their reasons from here.
"""

from __future__ import annotations

from fullint.ops.traits import traits_of

REWRITTEN: dict[str, str] = {
    "NEG": "MUL by -1",
    "SQUARE": "MUL of x by x",
    "ADD_N": "a chain of ADD",
    "POW": "MUL, SQRT or RSQRT for 2, 1/2, -1/2; a look-up for any other constant; EXP(b LOG(a)) for a > 0",
    "L2_POOL_2D": "the square root of an AVERAGE_POOL_2D of squares",
    "CUMSUM": "FULLY_CONNECTED with a triangular matrix of ones",
    "LOCAL_RESPONSE_NORMALIZATION": "x times a power (look-up) of a CONV_2D of squares with a band matrix",
    "EMBEDDING_LOOKUP": "GATHER along the first axis",
    "STABLEHLO_COMPOSITE": "its decomposition, inlined",
    "CALL": "the graph it calls, inlined",
    "SCATTER_ND": "GATHER of its rows and zeros, for constant indices without duplicates",
    "SEGMENT_SUM": "FULLY_CONNECTED with a matrix of 0 and 1, for constant segments",
    "UNSORTED_SEGMENT_SUM": "FULLY_CONNECTED with a matrix of 0 and 1, for constant segments",
    "RFFT2D": "products with cosines and sines in its readers, for one dimension of constant length",
    "REAL": "FULLY_CONNECTED with cosines, after RFFT2D",
    "IMAG": "FULLY_CONNECTED with sines, after RFFT2D",
    "COMPLEX_ABS": "the square root of the sum of two squared products, after RFFT2D",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "two UNIDIRECTIONAL_SEQUENCE_LSTM, one on the reversed sequence",
    "CONV_3D": "CONV_2D with the planes of each depth window as channels",
    "CONV_3D_TRANSPOSE": "TRANSPOSE_CONV with the planes of each depth window as channels",
    "ATAN2": "look-ups of a quotient and of signs",
    "ZEROS_LIKE": "a constant",
    "FILL": "a constant, if value and shape are constant",
    "FAKE_QUANT": "its input: the operator is removed",
    "DENSIFY": "the dense constant",
}

INTEGERS = frozenset(
    "LOGICAL_OR LOGICAL_AND LOGICAL_NOT REDUCE_ANY REDUCE_ALL RANGE UNIQUE BROADCAST_ARGS BITWISE_XOR RIGHT_SHIFT WHERE"
    " STABLEHLO_AND STABLEHLO_SHIFT_LEFT HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE".split()
)
"""Operators on plain integers, booleans or resources, which stay unchanged."""

WRONG_KERNEL: dict[str, str] = {
    "NEG": "LiteRT's int8 kernel ignores scales (kernels/neg.cc)",
    "FLOOR_DIV": "LiteRT's int8 kernel ignores scales (kernels/floor_div.cc)",
    "FLOOR_MOD": "LiteRT's int8 kernel ignores scales (kernels/floor_mod.cc)",
    "SCATTER_ND": "LiteRT's int8 kernel fills gaps with the integer 0, not the real value 0 (kernels/scatter_nd.cc)",
    "ZEROS_LIKE": "LiteRT's kernel writes the integer 0, not the real value 0 (kernels/zeros_like.cc)",
    "FAKE_QUANT": "it simulates rounding in float; its output is float",
    "EMBEDDING_LOOKUP": "LiteRT's kernel copies rows without regard to scales, or dequantizes them to float",
}
"""Operators whose int8 kernel, if they have one, does not compute what the float operator does."""

CODES_TAKEN = frozenset(
    "QUANTIZE DEQUANTIZE SHAPE RANK FAKE_QUANT EMBEDDING_LOOKUP WHILE IF CALL CALL_ONCE VAR_HANDLE READ_VARIABLE"
    " ASSIGN_VARIABLE STABLEHLO_COMPOSITE CUSTOM DELEGATE LSTM FILL BITCAST WHERE ARG_MAX ARG_MIN".split()
)
"""Operators without a row that accept quantized values with any scale."""

BORDERS: dict[str, str] = {
    "QUANTIZE": "stays as a requantize, or at inputs and outputs",
    "DEQUANTIZE": "removed; of a constant: replaced by the constant",
    "VAR_HANDLE": "stays: it names a variable",
    "CALL_ONCE": "stays: its subgraph is rewritten like the others",
}

_FLOAT_ONLY = "its kernel computes in float only"
_HYBRID = "its kernel is float or hybrid, and keeps float state between runs; unrolled or written as a loop, it can be integer"
_NO_KERNEL = "LiteRT registers no kernel for it (kernels/register.cc), so the model does not run at all"
_SHAPE = "the size of its output depends on values"
_RANDOM = "it generates random float values"

IMPOSSIBLE: dict[str, str] = {
    "CUSTOM": "a custom operator has no known integer kernel",
    "DELEGATE": "it only exists inside a running interpreter",
    "PLACEHOLDER_FOR_GREATER_OP_CODES": "it is not an operator",
    "LSTM": "its kernel is float, or uint8 with 16-bit state; UNIDIRECTIONAL_SEQUENCE_LSTM has an int8 kernel",
    **dict.fromkeys(("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"), _HYBRID),
    **dict.fromkeys(
        ("HASHTABLE_LOOKUP", "LSH_PROJECTION", "EMBEDDING_LOOKUP_SPARSE", "SKIP_GRAM"), "it works on hashes or strings"
    ),
    "CONCAT_EMBEDDINGS": "LiteRT has no kernel for it",
    "NON_MAX_SUPPRESSION_V4": _FLOAT_ONLY + " (kernels/non_max_suppression.cc)",
    "NON_MAX_SUPPRESSION_V5": _FLOAT_ONLY + " (kernels/non_max_suppression.cc)",
    "REVERSE_SEQUENCE": "its kernel does not support int8 (kernels/reverse_sequence.cc)",
    "SPARSE_TO_DENSE": "its int8 kernel ignores scales: it fills gaps with the integer 0, not the real value 0",
    "MATRIX_DIAG": "its int8 kernel ignores scales: it fills with the integer 0, not the real value 0 (kernels/matrix_diag.cc)",
    "MATRIX_SET_DIAG": "not examined; no current converter writes it",
    **dict.fromkeys((f"UNSORTED_SEGMENT_{k}" for k in ("PROD", "MAX", "MIN")), _FLOAT_ONLY + " or in int32"),
    **dict.fromkeys(("RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "MULTINOMIAL", "STABLEHLO_RNG_BIT_GENERATOR"), _RANDOM),
    "BITCAST": "the bits of a float have no meaning in int8",
    "DILATE": "its int8 kernel ignores scales (kernels/dilate.cc)",
    "REDUCE_WINDOW": "its int8 kernel ignores scales (kernels/reduce_window.cc)",
    **dict.fromkeys(
        (
            f"STABLEHLO_{k}"
            for k in ("ADD", "MAXIMUM", "MINIMUM", "MULTIPLY", "GATHER", "PAD", "REDUCE_WINDOW", "SCATTER", "CASE")
        ),
        "its kernel ignores scales; use TFLite's own operator of that name",
    ),
    **dict.fromkeys(
        (
            f"STABLEHLO_{k}"
            for k in (
                "LOGISTIC DIVIDE RESHAPE CLAMP CONCATENATE BROADCAST_IN_DIM CONVOLUTION SLICE CUSTOM_CALL REDUCE ABS COSINE"
                " EXPONENTIAL FLOOR LOG NEGATE OR POWER REMAINDER RSQRT SELECT SUBTRACT TANH COMPARE CONVERT DYNAMIC_SLICE"
                " DYNAMIC_UPDATE_SLICE IOTA DOT_GENERAL SORT WHILE TRANSPOSE CBRT"
            ).split()
        ),
        _NO_KERNEL,
    ),
}
"""Operators with float operands that have no known integer form, and why."""


def form(kind: str) -> str | None:
    """How an operator without a row becomes integer, in words, or None if it cannot."""
    if kind in REWRITTEN:
        return f"written as {REWRITTEN[kind]}"
    if kind in BORDERS:
        return BORDERS[kind]
    if kind in INTEGERS:
        return "unchanged (already integer)"
    traits = traits_of(kind)
    return ("a look-up" if traits.unary else "a look-up, with a constant operand") if traits.element_wise else None
