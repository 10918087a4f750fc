"""What becomes of every builtin operator that has no row of its own in the op table.

Together with the rows this covers TFLite's whole list of operators; docs/ops.md is made from both, a test
checks that none is missing, and the refusals take their reasons from here.
"""

from __future__ import annotations

from fullint.ops.traits import traits_of

REWRITTEN: dict[str, str] = {
    "NEG": "MUL by -1",
    "SQUARE": "MUL of x by x",
    "ADD_N": "ADD, one term after the other",
    "POW": "MUL, SQRT or RSQRT for 2, 1/2, -1/2; a look-up for any other constant; EXP(b LOG(a)) for a > 0",
    "L2_POOL_2D": "the root of an AVERAGE_POOL_2D of squares",
    "CUMSUM": "FULLY_CONNECTED with a triangle of ones",
    "LOCAL_RESPONSE_NORMALIZATION": "x times a power (look-up) of a CONV_2D of squares with a band of ones",
    "EMBEDDING_LOOKUP": "GATHER along the first axis",
    "STABLEHLO_COMPOSITE": "its decomposition, in place",
    "CALL": "the graph it calls, in place",
    "SCATTER_ND": "GATHER of its rows and zeros, at constant indices without repeats",
    "SEGMENT_SUM": "FULLY_CONNECTED with 0 and 1, for constant segments",
    "UNSORTED_SEGMENT_SUM": "FULLY_CONNECTED with 0 and 1, for constant segments",
    "RFFT2D": "gone with what reads it, for a constant length of one dimension",
    "REAL": "FULLY_CONNECTED with cosines, after RFFT2D",
    "IMAG": "FULLY_CONNECTED with sines, after RFFT2D",
    "COMPLEX_ABS": "the root of two squares of such products, after RFFT2D",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "two UNIDIRECTIONAL_SEQUENCE_LSTM, one on the reversed sequence",
    "CONV_3D": "CONV_2D over windows of depth put side by side",
    "CONV_3D_TRANSPOSE": "TRANSPOSE_CONV over windows of depth put side by side",
    "ATAN2": "look-ups of a quotient and of signs",
    "ZEROS_LIKE": "a constant",
    "FILL": "a constant, where value and shape are",
    "FAKE_QUANT": "nothing: its input",
    "DENSIFY": "the dense constant",
}

INTEGERS = frozenset(
    "LOGICAL_OR LOGICAL_AND LOGICAL_NOT REDUCE_ANY REDUCE_ALL RANGE UNIQUE BROADCAST_ARGS BITWISE_XOR RIGHT_SHIFT WHERE"
    " STABLEHLO_AND STABLEHLO_SHIFT_LEFT HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE".split()
)
"""Operators on integers, booleans or resources: what is integer already stays as it is."""

WRONG_KERNEL: dict[str, str] = {
    "NEG": "LiteRT's int8 kernel ignores scales (kernels/neg.cc)",
    "FLOOR_DIV": "LiteRT's int8 kernel ignores scales (kernels/floor_div.cc)",
    "FLOOR_MOD": "LiteRT's int8 kernel ignores scales (kernels/floor_mod.cc)",
    "SCATTER_ND": "what LiteRT's int8 kernel leaves out is code 0, not the number 0 (kernels/scatter_nd.cc)",
    "ZEROS_LIKE": "LiteRT's kernel writes code 0, not the number 0 (kernels/zeros_like.cc)",
    "FAKE_QUANT": "it rounds floats as integers would be, and makes floats",
    "EMBEDDING_LOOKUP": "LiteRT's kernel copies rows without scales, or makes floats of them",
}
"""Operators with an int8 kernel, or something like one, that does not compute what the float operator does."""

CODES_TAKEN = frozenset(
    "QUANTIZE DEQUANTIZE SHAPE RANK FAKE_QUANT EMBEDDING_LOOKUP WHILE IF CALL CALL_ONCE VAR_HANDLE READ_VARIABLE"
    " ASSIGN_VARIABLE STABLEHLO_COMPOSITE CUSTOM DELEGATE LSTM FILL BITCAST WHERE ARG_MAX ARG_MIN".split()
)
"""Operators without a row that take codes as they come, whatever their scale."""

BORDERS: dict[str, str] = {
    "QUANTIZE": "at the border, or between two scales",
    "DEQUANTIZE": "of a constant: the constant; of an activation: nothing",
    "VAR_HANDLE": "stays: names a variable",
    "CALL_ONCE": "stays: its graph is rewritten with the others",
}

_FLOAT_ONLY = "its kernel computes in float only"
_HYBRID = "its kernel is float or hybrid, and keeps float state between runs; unrolled, or as a loop, it is integer"
_NO_KERNEL = "LiteRT registers no kernel for it (kernels/register.cc): the model does not run as it is"
_SHAPE = "the size of its output depends on values"
_RANDOM = "it makes random floats"

IMPOSSIBLE: dict[str, str] = {
    "CUSTOM": "a custom operator has no integer kernel fullint knows",
    "DELEGATE": "it only exists inside a running interpreter",
    "PLACEHOLDER_FOR_GREATER_OP_CODES": "it is no operator",
    "LSTM": "the older form: float, or uint8 with 16-bit state; UNIDIRECTIONAL_SEQUENCE_LSTM has an integer kernel",
    **dict.fromkeys(("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"), _HYBRID),
    **dict.fromkeys(("HASHTABLE_LOOKUP", "LSH_PROJECTION", "EMBEDDING_LOOKUP_SPARSE", "SKIP_GRAM"), "hashing and strings"),
    "CONCAT_EMBEDDINGS": "LiteRT has no kernel for it",
    "NON_MAX_SUPPRESSION_V4": _FLOAT_ONLY + " (kernels/non_max_suppression.cc)",
    "NON_MAX_SUPPRESSION_V5": _FLOAT_ONLY + " (kernels/non_max_suppression.cc)",
    "REVERSE_SEQUENCE": "its kernel takes no int8 (kernels/reverse_sequence.cc)",
    "SPARSE_TO_DENSE": "int8 without scales: what it leaves out is code 0, not the number 0",
    "MATRIX_DIAG": "int8 without scales: beside the diagonal is code 0, not the number 0 (kernels/matrix_diag.cc)",
    "MATRIX_SET_DIAG": "not looked into; no converter of today writes it",
    **dict.fromkeys((f"UNSORTED_SEGMENT_{k}" for k in ("PROD", "MAX", "MIN")), _FLOAT_ONLY + " or in int32"),
    **dict.fromkeys(("RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "MULTINOMIAL", "STABLEHLO_RNG_BIT_GENERATOR"), _RANDOM),
    "BITCAST": "the bits of a float have no meaning in int8",
    "DILATE": "int8 without scales (kernels/dilate.cc)",
    "REDUCE_WINDOW": "int8 without scales (kernels/reduce_window.cc)",
    **dict.fromkeys(
        (
            f"STABLEHLO_{k}"
            for k in ("ADD", "MAXIMUM", "MINIMUM", "MULTIPLY", "GATHER", "PAD", "REDUCE_WINDOW", "SCATTER", "CASE")
        ),
        "its kernel takes no scales; TFLite's own operator of that name has one that does",
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
"""Operators with float operands that no integer form is known of, and why."""


def form(kind: str) -> str | None:
    """How an operator without a row becomes integer, None where it cannot."""
    if kind in REWRITTEN:
        return f"written as {REWRITTEN[kind]}"
    if kind in BORDERS:
        return BORDERS[kind]
    if kind in INTEGERS:
        return "integer already"
    traits = traits_of(kind)
    return ("a look-up" if traits.unary else "a look-up, by a constant") if traits.element_wise else None
