"""Which operators the Edge TPU compiler 16 maps to the device, according to its documentation.

Source of every row: Coral, "TensorFlow models on the Edge TPU", table of supported operations. Every tensor must be 8-bit,
of constant size, with no dimension but the three innermost larger than 1; parameters must be constants. The compiler cuts
the graph once: all operators from the first unsupported one on run on the CPU (without its option -a).
"""

from __future__ import annotations

from collections.abc import Mapping

from fullint.delegates.conditions import Condition, Custom, Never, Option, Static, Values
from fullint.delegates.table import AcceptanceTable, Row
from fullint.delegates.taken import verdicts
from fullint.delegates.target import DelegateTarget, TargetAnswer
from fullint.model.ir import Graph, Model, Op, Tensor
from fullint.ops.make import ACTIVATIONS
from fullint.ops.releases import release_of
from fullint.targets import TARGETS

_SOURCE = "Coral, TensorFlow models on the Edge TPU, supported operations"
_PLAIN = Option("fused_activation_function", (ACTIVATIONS["NONE"],), "it has a fused activation")
NEWEST = tuple(int(n) for n in TARGETS["edgetpu"].runtime.split("."))
"""The compiler rejects operator versions of a newer release than this."""


def _eight_bits(op: Op) -> str | None:
    for t in op.values():
        if t.is_float:
            return f'"{t.name}" is {t.dtype}; only 8-bit tensors are supported'
        if t.quant is not None and t.quant.scale.size and t.dtype in ("int16", "int64"):
            return f'"{t.name}" is {t.dtype}; only 8-bit tensors are supported'
        if any(n < 0 for n in (*t.shape, *(t.shape_signature or ())[1:])):
            return f'"{t.name}" has a dynamic dimension'
        if any(n > 1 for n in t.shape[:-3]) and not t.is_constant:
            return f'"{t.name}" {list(t.shape)}: only the three innermost dimensions may be larger than 1'
    return None


def _old_enough(op: Op) -> str | None:
    release = release_of(op.kind, op.version)
    if release <= NEWEST:
        return None
    theirs, last = (".".join(map(str, r)) for r in (release, NEWEST))
    return f"its version {op.version} is from release {theirs}; the compiler supports those of {last} and older"


def _square_dilation(op: Op) -> str | None:
    o = op.options
    same = o.get("dilation_w_factor", 1) == o.get("dilation_h_factor", 1)
    return None if same else "its dilation differs between width and height"


def _no_batch(op: Op) -> str | None:
    axes, x = op.input(1), op.input(0)
    if axes is None or axes.buffer is None or x is None or axes.dtype != "int32":
        return None
    rank = len(x.shape)
    return "it reduces the batch" if rank == 4 and 0 in [a % rank for a in axes.array.reshape(-1).tolist()] else None


def _depth(op: Op) -> str | None:
    x = op.input(0)
    depth = x.shape[-1] if x is not None and x.shape else 0
    return f"it has {depth} channels, and the compiler takes multiples of 4" if depth % 4 else None


def _moves(op: Op) -> str | None:
    """Not in the documented table, and refused in the compiler's reports, but where nothing moves."""
    x, order = op.input(0), op.input(1)
    if x is None or order is None or order.buffer is None:
        return None
    long = [a for a in order.array.reshape(-1).tolist() if x.shape[a] > 1]
    return "it moves axes, which the compiler refuses" if long != sorted(long) else None


def _no_batch_pad(op: Op) -> str | None:
    t = op.input(1)
    return "it pads the batch" if t is not None and t.buffer is not None and len(t.shape) == 2 and t.array[0].any() else None


def _softmax(op: Op) -> str | None:
    x = op.input(0)
    return (
        "it has more than 16000 elements, or more than one row"
        if x is not None and (x.size > 16000 or x.size != x.shape[-1])
        else None
    )


def _vector_alpha(op: Op) -> str | None:
    alpha = op.input(1)
    return "alpha is not a vector over channels" if alpha is not None and alpha.size != alpha.shape[-1] else None


def _vector(op: Op) -> str | None:
    y = op.outputs[0]
    return "its output is not a vector" if y.size != y.shape[-1] else None


def _constant_input(op: Op) -> str | None:
    constants = [t for t in op.inputs if t is not None and t.is_constant]
    return (
        "it has a constant input (supported only as zeros, with two inputs)"
        if constants and (len(op.inputs) != 2 or any(t.buffer is not None and t.array.any() for t in constants))
        else None
    )


def _row(kind: str, *conditions: Condition) -> Row:
    return Row(kind, conditions, "table of supported operations")


_KNOWN: dict[str, tuple[Condition, ...]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (_PLAIN,),
    "CONCATENATION": (_PLAIN, Custom(_constant_input)),
    "CONV_2D": (Static((1, 2)), Custom(_square_dilation)),
    "DEPTHWISE_CONV_2D": (Static((1, 2)), Custom(_square_dilation)),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (Static((1, 2)), Option("weights_format", (0,)), Custom(_vector)),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "MAXIMUM": (),
    "MAX_POOL_2D": (_PLAIN,),
    "MEAN": (Static((1,)), Custom(_no_batch), Custom(_depth)),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (Option("axis", (1, 2, 3, -1, -2), "it packs along the batch"),),
    "PAD": (Static((1,)), Custom(_no_batch_pad)),
    "PRELU": (Static((1,)), Custom(_vector_alpha)),
    "QUANTIZE": (),
    "REDUCE_MAX": (Static((1,)), Custom(_no_batch)),
    "REDUCE_MIN": (Static((1,)), Custom(_no_batch)),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (Static((1,)),),
    "RESIZE_BILINEAR": (Static((1,)),),
    "RESIZE_NEAREST_NEIGHBOR": (Static((1,)),),
    "RSQRT": (),
    "SLICE": (Static((1, 2)),),
    "SOFTMAX": (Custom(_softmax),),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (Static((0,)),),
    "SQUEEZE": (),
    "SQUARED_DIFFERENCE": (),
    "STRIDED_SLICE": (
        Static((1, 2, 3)),
        Values(3, lambda v: v == 1, "strides other than 1 are not supported"),
        Option("ellipsis_mask", (0,)),
        Option("new_axis_mask", (0,)),
    ),
    "SUB": (),
    "SUM": (Static((1,)), Custom(_no_batch)),
    "TANH": (),
    "TRANSPOSE": (Static((1,)), Custom(_moves)),
    "TRANSPOSE_CONV": (Static((0, 1)),),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (),
    "DEQUANTIZE": (Never("its output is float"),),
}

TABLE = AcceptanceTable(
    "edgetpu", _SOURCE, tuple(_row(k, *c) for k, c in _KNOWN.items()), (Custom(_eight_bits), Custom(_old_enough))
)


_FOLLOWS = "it follows an unsupported operator, and the compiler maps a single subgraph only"


def cut_once(graph: Graph, verdict: Mapping[Op, str | None]) -> dict[Op, str | None]:
    """Reject every operator that depends on a rejected one: it runs on the CPU too."""
    after: set[Tensor] = set()
    found = dict(verdict)
    for op in graph.ops:
        behind = any(t in after for t in op.inputs if t is not None)
        if verdict[op] is not None or behind:
            after.update(op.outputs)
        if verdict[op] is None and behind:
            found[op] = _FOLLOWS
    return found


def _answer(model: Model, detail: str) -> TargetAnswer:
    alone = verdicts(model.main, TABLE)
    return TargetAnswer("edgetpu", TABLE.source, cut_once(model.main, alone), once=cut_once, alone=alone)


_LACKS = dict.fromkeys("DEPTH_TO_SPACE GATHER SPLIT_V POW".split(), frozenset({"int8"}))
"""Not among the supported operations, and written with those that are."""
TARGET = DelegateTarget("edgetpu", _answer, node="edgetpu-custom-op", lacks=_LACKS)
