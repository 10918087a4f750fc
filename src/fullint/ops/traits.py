"""The traits column of the op table: mathematical properties of an operator's function, independent of its kernels.

Operators without a row have traits too: a chain of element-wise operators can become a look-up whether or not LiteRT has
int8 kernels for its parts. A property that is not stated is not relied on. The tests prove each stated property by running
the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fullint.model.ir import Op
from fullint.model.ranges import Range

BoundOf = Callable[[Range, Range, bool], "Range | None"]
"""(bounds of both operands, whether they are the same tensor) -> bounds of the result, or None."""


@dataclass(frozen=True)
class Traits:
    """Properties of a function; False or None means "not known".

    Attributes:
        element_wise: each element of the result depends only on the elements at the same position.
        unary: it is a function of one tensor.
        compares: its result says which operand is larger, or whether they are equal.
        moves: each value of the result is an unchanged value of the first SAME operand (or 0, as padding).
        recodes: it changes how values are encoded, and not what they are.
        joins: it puts whole operands side by side.
        ranks: it orders values by size, so that where one comes to lie depends on all of them.
        selects: 1 if each value of the result is the largest of the values it reads, -1 if the smallest.
        averages: each value of the result lies between the smallest and the largest value it reads.
        monotone: a larger operand never gives a smaller result.
        not_negative: no value of the result is below 0.
        homogeneous: f(s x) = s f(x) for s > 0 in its first operand.
        keeps_whole: of whole numbers it makes whole numbers; always true of what moves values.
        keeps_channels: operator -> whether it keeps channels (the last dimension) separate; flattening may repeat them.
        adds: the signs of the two terms that it adds.
        multiplies: it is an element-wise product.
        softmax: each row is exp(x) divided by the sum of exp(x), so values far below the row's maximum have no effect.
        steep: its slope grows without bound near 0.
        passes_small: small inputs give small outputs, so distinguishing small outputs requires distinguishing small inputs.
        passes_means: a shift of its input's mean shifts its output's mean.
        reads_masks: exporters fill some of its operands with large negative numbers as masks.
        bound: computes bounds of its result.
        effects: it has side effects, so it is kept even if its outputs are not read.
        random: its result differs from run to run.
        absent: kernel sets that do not register it, not even in float.
    """

    element_wise: bool = False
    unary: bool = False
    compares: bool = False
    moves: bool = False
    recodes: bool = False
    joins: bool = False
    ranks: bool = False
    selects: int = 0
    averages: bool = False
    monotone: bool = False
    not_negative: bool = False
    homogeneous: bool = False
    keeps_whole: bool = False
    keeps_channels: Callable[[Op], bool] | None = None
    adds: tuple[int, int] | None = None
    multiplies: bool = False
    softmax: bool = False
    steep: bool = False
    passes_small: bool = False
    passes_means: bool = False
    reads_masks: bool = False
    bound: BoundOf | None = None
    effects: bool = False
    random: bool = False
    absent: tuple[str, ...] = ()


def _unary(**more: bool | Callable[[Op], bool] | tuple[str, ...]) -> Traits:
    return Traits(element_wise=True, unary=True, **more)  # type: ignore[arg-type]


def _move(**more: bool | int | Callable[[Op], bool]) -> Traits:
    return Traits(moves=True, keeps_whole=True, **more)  # type: ignore[arg-type]


def _as_they_are(op: Op) -> bool:
    """Whether input and output have the same channels."""
    x, out = op.input(0), op.outputs[0]
    return x is not None and bool(x.shape) and bool(out.shape) and x.shape[-1] == out.shape[-1]


def _flattened(op: Op) -> bool:
    """Whether the output has the same channels, or repeats them along a flattened dimension."""
    x, out = op.input(0), op.outputs[0]
    return x is not None and bool(x.shape) and bool(out.shape) and out.shape[-1] % x.shape[-1] == 0


def _not_padded(op: Op) -> bool:
    """Whether the channel dimension is not padded."""
    x, pads = op.input(0), op.input(1)
    known = x is not None and bool(x.shape) and bool(op.outputs[0].shape) and pads is not None and pads.buffer is not None
    return known and pads is not None and not pads.array[-1].any()


def _over_others(op: Op) -> bool:
    """Whether the reduction is over dimensions other than the channels."""
    x, axes = op.input(0), op.input(1)
    if x is None or not x.shape or not op.outputs[0].shape or axes is None or axes.buffer is None:
        return False
    return all(int(a) % len(x.shape) != len(x.shape) - 1 for a in axes.array.reshape(-1))


def _product(a: Range, b: Range, same: bool) -> Range:
    ends = [x * y for x in a for y in b]
    return Range((0.0 if a.low <= 0 <= a.high else min(ends)) if same else min(ends), max(ends))


def _square_of_difference(a: Range, b: Range, same: bool) -> Range:
    far = max(abs(a.high - b.low), abs(b.high - a.low))
    return Range(0.0, far * far)


def _quotient(a: Range, b: Range, same: bool) -> Range | None:
    return None if b.low <= 0 <= b.high else _product(a, Range(1 / b.high, 1 / b.low), False)


_COMPARISON = Traits(element_wise=True, compares=True)
_LOGIC = Traits(element_wise=True)
_CLAMP = _unary(monotone=True)
_SELECTION = Traits(element_wise=True, reads_masks=True)

TRAITS: dict[str, Traits] = {
    "ADD": Traits(
        element_wise=True,
        keeps_whole=True,
        adds=(1, 1),
        passes_small=True,
        passes_means=True,
        reads_masks=True,
        bound=lambda a, b, same: Range(a.low + b.low, a.high + b.high),
    ),
    "SUB": Traits(
        element_wise=True,
        keeps_whole=True,
        adds=(1, -1),
        passes_means=True,
        reads_masks=True,
        bound=lambda a, b, same: Range(0.0, 0.0) if same else Range(a.low - b.high, a.high - b.low),
    ),
    "MUL": Traits(element_wise=True, keeps_whole=True, multiplies=True, passes_means=True, reads_masks=True, bound=_product),
    "DIV": Traits(element_wise=True, steep=True, bound=_quotient),
    "SQUARED_DIFFERENCE": Traits(element_wise=True, keeps_whole=True, not_negative=True, bound=_square_of_difference),
    "MAXIMUM": Traits(
        element_wise=True,
        keeps_whole=True,
        selects=1,
        monotone=True,
        passes_small=True,
        reads_masks=True,
        bound=lambda a, b, same: Range(max(a.low, b.low), max(a.high, b.high)),
    ),
    "MINIMUM": Traits(
        element_wise=True,
        keeps_whole=True,
        selects=-1,
        monotone=True,
        bound=lambda a, b, same: Range(min(a.low, b.low), min(a.high, b.high)),
    ),
    "ADD_N": Traits(element_wise=True),
    "POW": Traits(element_wise=True),
    "ATAN2": Traits(element_wise=True),
    "FLOOR_DIV": Traits(element_wise=True),
    "FLOOR_MOD": Traits(element_wise=True),
    "PRELU": Traits(element_wise=True, homogeneous=True, keeps_channels=_as_they_are),
    "SELECT": _SELECTION,
    "SELECT_V2": _SELECTION,
    **dict.fromkeys(("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL"), _COMPARISON),
    **dict.fromkeys(("LOGICAL_AND", "LOGICAL_OR"), _LOGIC),
    "LOGICAL_NOT": _unary(),
    "CAST": _unary(),
    "BUCKETIZE": _unary(monotone=True),
    "RELU": _unary(monotone=True, keeps_whole=True, not_negative=True, homogeneous=True, keeps_channels=_as_they_are),
    "RELU6": _unary(keeps_whole=True, monotone=True, not_negative=True),
    "RELU_0_TO_1": _unary(monotone=True, not_negative=True),
    "RELU_N1_TO_1": _CLAMP,
    "LEAKY_RELU": _unary(homogeneous=True, keeps_channels=_as_they_are),
    "ABS": _unary(keeps_whole=True, not_negative=True, homogeneous=True, keeps_channels=_as_they_are),
    "NEG": _unary(keeps_whole=True, homogeneous=True, keeps_channels=_as_they_are),
    "SQUARE": _unary(keeps_whole=True, not_negative=True),
    "LOGISTIC": _unary(monotone=True, not_negative=True, passes_means=True),
    "TANH": _unary(monotone=True, passes_means=True),
    "HARD_SWISH": _unary(),
    "GELU": _unary(),
    "ELU": _unary(monotone=True),
    "EXP": _unary(monotone=True, not_negative=True),
    "LOG": _unary(monotone=True, steep=True),
    "SQRT": _unary(monotone=True, not_negative=True, passes_small=True),
    "RSQRT": _unary(not_negative=True, steep=True),
    "SIN": _unary(),
    "COS": _unary(),
    "FLOOR": _unary(monotone=True),
    "CEIL": _unary(monotone=True, absent=("reference",)),
    "ROUND": _unary(monotone=True, absent=("reference",)),
    "SIGN": _unary(monotone=True),
    "SOFTMAX": Traits(not_negative=True, softmax=True, passes_means=True),
    "LOG_SOFTMAX": Traits(passes_means=True),
    "RESHAPE": _move(homogeneous=True, keeps_channels=_flattened, passes_small=True, passes_means=True),
    "SQUEEZE": _move(homogeneous=True, keeps_channels=_flattened, passes_small=True, passes_means=True),
    "EXPAND_DIMS": _move(homogeneous=True, passes_small=True, passes_means=True),
    "TRANSPOSE": _move(homogeneous=True, passes_small=True, passes_means=True),
    "SLICE": _move(homogeneous=True, passes_means=True),
    "STRIDED_SLICE": _move(homogeneous=True, passes_means=True),
    "CONCATENATION": _move(joins=True, passes_means=True),
    "QUANTIZE": Traits(recodes=True, monotone=True, passes_means=True),
    "PAD": _move(homogeneous=True, keeps_channels=_not_padded),
    "PADV2": Traits(reads_masks=True),
    "RESIZE_NEAREST_NEIGHBOR": _move(homogeneous=True, keeps_channels=_as_they_are),
    **dict.fromkeys(
        ("GATHER", "GATHER_ND", "SPLIT", "SPLIT_V", "UNPACK", "TILE", "BROADCAST_TO", "REVERSE_V2"), _move(homogeneous=True)
    ),
    **dict.fromkeys(("SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "BATCH_TO_SPACE_ND", "MIRROR_PAD"), _move(homogeneous=True)),
    "SPACE_TO_BATCH_ND": _move(homogeneous=True),
    "PACK": _move(joins=True),
    "TOPK_V2": Traits(ranks=True),
    "MAX_POOL_2D": _move(selects=1, monotone=True, homogeneous=True, keeps_channels=_as_they_are),
    "REDUCE_MAX": _move(selects=1, monotone=True, homogeneous=True),
    "REDUCE_MIN": _move(selects=-1, monotone=True, homogeneous=True),
    "AVERAGE_POOL_2D": Traits(averages=True, monotone=True, homogeneous=True, keeps_channels=_as_they_are),
    "RESIZE_BILINEAR": Traits(averages=True, monotone=True, homogeneous=True, keeps_channels=_as_they_are),
    "MEAN": Traits(averages=True, monotone=True, homogeneous=True, keeps_channels=_over_others, passes_small=True),
    "SUM": Traits(keeps_whole=True, monotone=True, homogeneous=True),
    "FULLY_CONNECTED": Traits(keeps_whole=True, passes_small=True),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL"), Traits(keeps_whole=True)),
    **dict.fromkeys(
        "ASSIGN_VARIABLE CALL_ONCE VAR_HANDLE READ_VARIABLE HASHTABLE HASHTABLE_IMPORT IF WHILE CALL CUSTOM".split(),
        Traits(effects=True),
    ),
    **dict.fromkeys("RANDOM_UNIFORM RANDOM_STANDARD_NORMAL MULTINOMIAL STABLEHLO_RNG_BIT_GENERATOR".split(), Traits(random=True)),
}

UNKNOWN = Traits()
"""The traits of operators that are not in the table."""


def traits_of(kind: str) -> Traits:
    """The traits of an operator."""
    return TRAITS.get(kind, UNKNOWN)
