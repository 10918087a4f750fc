"""One small float model per row of the op table, with inputs that go over the whole code range.

`EXAMPLES[kind]` fills a builder with one operator and returns the values of its graph inputs.
"""

from collections.abc import Callable

import numpy as np

from fullint.model.ir import Tensor
from fullint.model.numerics import activation_params, dequantize
from fullint.model.ranges import Range
from fullint.ops.builder import Builder
from fullint.ops.make import ACTIVATIONS, PADDING, make_op

Values = list[np.ndarray]


def codes(low: float, high: float, shape: tuple[int, ...] = (1, 256)) -> np.ndarray:
    """All 256 values of int8 for the range, shuffled, in a shape of any multiple of 256 elements."""
    every = dequantize(np.arange(-128, 128).astype(np.int8), activation_params(Range(low, high)))
    count = int(np.prod(shape))
    repeated = np.tile(every, -(-count // 256))[:count]
    return np.random.default_rng(1).permutation(repeated).reshape(shape).astype(np.float32)


def unary(kind: str, low: float = -4.0, high: float = 3.0, shape: tuple[int, ...] = (1, 256), **options: object):
    def make(g: Builder) -> Values:
        g.output(g.op(kind, g.input(*shape), **options))
        return [codes(low, high, shape)]

    return make


def grid(low: float, high: float, low2: float, high2: float) -> Values:
    """Every code of one side against 64 of the other."""
    a, b = codes(low, high).reshape(1, 256, 1, 1), codes(low2, high2).reshape(-1)[:64].reshape(1, 1, 64, 1)
    every = codes(low2, high2)
    b[0, 0, 0], b[0, 0, 1] = every.min(), every.max()
    return [np.broadcast_to(a, (1, 256, 64, 1)).copy(), np.broadcast_to(b, (1, 256, 64, 1)).copy()]


def binary(kind: str, low: float = -4.0, high: float = 3.0, low2: float = -1.0, high2: float = 2.0, **options: object):
    def make(g: Builder) -> Values:
        a, b = g.input(1, 256, 64, 1), g.input(1, 256, 64, 1)
        g.output(g.op(kind, a, b, **options))
        values = grid(low, high, low2, high2)
        if kind == "DIV":  # a divisor of zero fails the run
            small = np.abs(values[1]) < 0.25
            values[1][small] = values[1][~small].min()
        return values

    return make


def comparison(kind: str):
    def make(g: Builder) -> Values:
        a, b = g.input(1, 256, 64, 1), g.input(1, 256, 64, 1)
        g.output(g.op(kind, a, b))
        return grid(-3.0, 3.0, -3.0, 3.0)

    return make


def move(
    kind: str,
    shape: tuple[int, ...],
    *consts: object,
    inputs: tuple[int, ...] = (1, 4, 8, 8),
    outputs: int = 1,
    data: int = 0,
    **options: object,
):
    """An operator on one data input of all codes; `consts` are its int32 constants, in order around it."""

    def make(g: Builder) -> Values:
        operands = [g.const(np.asarray(c, np.int32)) for c in consts]
        operands.insert(data, g.input(*inputs))
        made = g.op(kind, *operands, shape=shape, dtype="float32", outputs=outputs, **options)
        g.output(*(made if outputs > 1 else [made]))
        return [codes(-4.0, 3.0, inputs)]

    return make


def joined(kind: str, shape: tuple[int, ...], count: int = 2, **options: object):
    def make(g: Builder) -> Values:
        parts = [g.input(1, 4, 8, 8) for _ in range(count)]
        g.output(g.op(kind, *parts, shape=shape, **options))
        return [codes(-4.0, 3.0, (1, 4, 8, 8)) for _ in range(count)]

    return make


def exact_weights(g: Builder, *shape: int, axis: int = 0):
    """Weights that int8 holds exactly: whole multiples of a scale per channel, the largest 127."""
    k = g.rng.integers(-127, 128, shape)
    k.reshape(-1)[: max(1, k.size // 64)] = 127
    flat = np.moveaxis(k, axis, 0).reshape(shape[axis], -1)
    flat[:, 0] = 127
    k = np.moveaxis(flat.reshape(np.moveaxis(k, axis, 0).shape), 0, axis)
    scale = np.linspace(0.002, 0.006, shape[axis])
    return g.const((k * np.expand_dims(scale, [i for i in range(len(shape)) if i != axis])).astype(np.float32))


def conv(activation: str):
    def make(g: Builder) -> Values:
        x = g.input(1, 8, 8, 4)
        g.output(g.conv(x, weights=exact_weights(g, 6, 3, 3, 4), stride=2, activation=activation))
        return [codes(-2.0, 3.0, (1, 8, 8, 4))]

    return make


def depthwise(g: Builder) -> Values:
    x = g.input(1, 8, 8, 4)
    bias = g.const((g.rng.normal(size=4) * 0.1).astype(np.float32))
    y = g.op(
        "DEPTHWISE_CONV_2D",
        x,
        exact_weights(g, 1, 3, 3, 4, axis=3),
        bias,
        shape=(1, 8, 8, 4),
        stride_w=1,
        stride_h=1,
        padding=PADDING["SAME"],
        depth_multiplier=1,
    )
    g.output(y)
    return [codes(-2.0, 3.0, (1, 8, 8, 4))]


def dense(g: Builder) -> Values:
    g.output(g.dense(g.input(16, 16), 8, weights=exact_weights(g, 8, 16)))
    return [codes(-2.0, 3.0, (16, 16))]


def transpose_conv(g: Builder) -> Values:
    g.output(g.transpose_conv(g.input(1, 8, 8, 4), 6, weights=exact_weights(g, 6, 3, 3, 4)))
    return [codes(-2.0, 3.0, (1, 8, 8, 4))]


def batch_matmul(g: Builder) -> Values:
    a, b = g.input(1, 16, 32), g.input(1, 32, 16)
    g.output(g.op("BATCH_MATMUL", a, b, shape=(1, 16, 16)))
    return [codes(-2.0, 3.0, (1, 16, 32)), codes(-1.0, 1.0, (1, 32, 16))]


def prelu(g: Builder) -> Values:
    x, alpha = g.input(1, 4, 8, 8), g.const(np.linspace(0, 0.5, 8).astype(np.float32).reshape(1, 1, 8))
    g.output(g.op("PRELU", x, alpha))
    return [codes(-4.0, 3.0, (1, 4, 8, 8))]


def select(kind: str):
    def make(g: Builder) -> Values:
        c, a, b = g.input(1, 256, dtype="bool"), g.input(1, 256), g.input(1, 256)
        g.output(g.op(kind, c, a, b))
        return [np.arange(256).reshape(1, 256) % 3 == 0, codes(-4.0, 3.0), codes(-4.0, 3.0)[:, ::-1].copy()]

    return make


def padv2(g: Builder) -> Values:
    x = g.input(1, 4, 8, 8)
    pads = g.const(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    g.output(g.op("PADV2", x, pads, g.const(-2.0), shape=(1, 6, 10, 8)))
    return [codes(-4.0, 3.0, (1, 4, 8, 8))]


def dynamic_update_slice(g: Builder) -> Values:
    x, u = g.input(1, 256), g.input(1, 8)
    g.output(g.op("DYNAMIC_UPDATE_SLICE", x, u, g.const(np.array([0, 5], np.int32)), shape=(1, 256)))
    return [codes(-4.0, 3.0), codes(-4.0, 3.0)[:, :8]]


def topk(g: Builder) -> Values:
    x = g.input(1, 256)
    values, indices = g.op("TOPK_V2", x, g.const(np.int32(5)), shape=(1, 5), outputs=2)
    indices.dtype = "int32"
    g.output(values, indices)
    return [codes(-4.0, 3.0)]


def arg(kind: str):
    def make(g: Builder) -> Values:
        y = g.op(kind, g.input(1, 16, 16), g.const(np.int32(2)), shape=(1, 16), dtype="int32", output_type=2)
        g.output(y)
        return [codes(-4.0, 3.0, (1, 16, 16))]

    return make


def shape_of(kind: str, shape: tuple[int, ...]):
    def make(g: Builder) -> Values:
        x = g.input(1, 256)
        options = {"out_type": 2} if kind == "SHAPE" else {}
        g.output(g.op("RELU", x), g.op(kind, x, shape=shape, dtype="int32", **options))
        return [codes(-4.0, 3.0)]

    return make


def gather(kind: str, indices: object, shape: tuple[int, ...]):
    return move(kind, shape, indices, inputs=(16, 16), data=0)


def look_up(g: Builder) -> Values:
    """sin(x) as fullint keeps it: an operator that holds the operators it stands for."""
    from fullint.model.subgraphs import lookup

    f = Builder(name="function")
    y = f.op("SIN", f.input(1, 256))
    f.output(y)
    x = g.input(1, 256)
    out = g.op("RELU", x)  # a tensor of the right shape; its operator is put aside
    g.graph.ops[-1] = lookup(x, out, f.model().main)
    g.output(out)
    return [codes(-4.0, 3.0)]


def cast(g: Builder) -> Values:
    x = g.input(1, 256, dtype="int32")
    g.output(g.op("CAST", x, dtype="float32", in_data_type=2, out_data_type=0))
    return [np.arange(-100, 156, dtype=np.int32).reshape(1, 256)]


def loop(g: Builder) -> Values:
    """The sign of x turned three times, counted."""
    cond, body = Builder(name="cond"), Builder(name="body")
    i, _ = cond.input(dtype="int32"), cond.input(1, 256)
    cond.output(cond.op("LESS", i, cond.const(np.int32(3)), shape=()))
    j, y = body.input(dtype="int32"), body.input(1, 256)
    body.output(body.op("ADD", j, body.const(np.int32(1)), shape=()), body.op("MUL", y, body.const(-1.0)))
    x = g.input(1, 256)
    out = g.op(
        "WHILE",
        g.const(np.int32(0)),
        x,
        shape=(1, 256),
        outputs=2,
        cond_subgraph_index=cond.graph,
        body_subgraph_index=body.graph,
    )
    out[0].shape, out[1].dtype = (), "float32"
    g.output(out[1])
    return [codes(-4.0, 3.0)]


def branch(g: Builder) -> Values:
    graphs = []
    for sign in (1.0, -1.0):
        b = Builder(name="branch")
        b.output(b.op("MUL", b.input(1, 256), b.const(sign)))
        graphs.append(b.graph)
    c, x = g.input(1, dtype="bool"), g.input(1, 256)
    options = {"then_subgraph_index": graphs[0], "else_subgraph_index": graphs[1]}
    g.output(g.op("IF", c, x, shape=(1, 256), dtype="float32", **options))
    return [np.array([True]), codes(-4.0, 3.0)]


def variable(g: Builder) -> Values:
    """A value put into a variable and read back."""
    options = {"container": "", "shared_name": "state"}
    handle = Tensor("handle", (), "resource")
    g.graph.ops.append(make_op("VAR_HANDLE", [], [handle], **options))
    x = g.input(1, 256)
    g.graph.ops.append(make_op("ASSIGN_VARIABLE", [handle, x], []))
    out = Tensor("read", (1, 256), "float32")
    g.graph.ops.append(make_op("READ_VARIABLE", [handle], [out]))
    g.output(out)
    return [codes(-4.0, 3.0)]


def lstm(g: Builder) -> Values:
    n, cells, steps = 6, 4, 8
    x = g.input(1, steps, n)
    weights = [exact_weights(g, cells, n) for _ in range(4)] + [exact_weights(g, cells, cells) for _ in range(4)]
    bias = [g.const((g.rng.normal(size=cells) * 0.1).astype(np.float32)) for _ in range(4)]
    state = [Tensor(name, (1, cells), "float32", is_variable=True) for name in ("h", "c")]
    inputs = [x, *weights, None, None, None, *bias, None, None, *state]
    inputs += [None] * (24 - len(inputs))
    out = Tensor("out", (1, steps, cells), "float32")
    op = make_op("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [out], fused_activation_function=ACTIVATIONS["TANH"])
    op.inputs = inputs
    op.version = 1
    g.graph.ops.append(op)
    g.output(out)
    return [np.tile(codes(-2.0, 2.0), (1, 1))[:, : steps * n].reshape(1, steps, n)]


def svdf(g: Builder) -> Values:
    units, rank, memory, n = 4, 2, 5, 16
    state = Tensor("state", (1, memory * units * rank), "float32", is_variable=True)
    feature = exact_weights(g, units * rank, n)
    feature = g.const((feature.array / 0.006 * 0.004).astype(np.float32))
    inputs = [g.input(1, n), feature, g.random(units * rank, memory, scale=0.3), g.random(units, scale=0.1), state]
    out = Tensor("out", (1, units), "float32")
    g.graph.ops.append(make_op("SVDF", inputs, [out], rank=rank, fused_activation_function=ACTIVATIONS["RELU"]))
    g.output(out)
    return [codes(-2.0, 2.0)[:, :n]]


def reduce_prod(g: Builder) -> Values:
    """Three factors: the whole range of each against the others."""
    x = g.input(1, 3, 256)
    g.output(g.op("REDUCE_PROD", x, g.const(np.int32([1])), shape=(1, 256)))
    return [codes(-2.0, 1.5, (1, 3, 256))]


def one_hot(g: Builder) -> Values:
    i = g.input(1, 16, dtype="int32")
    g.output(g.op("ONE_HOT", i, g.const(np.int32(8)), g.const(2.0), g.const(-1.0), shape=(1, 16, 8), axis=-1))
    return [np.arange(16, dtype=np.int32).reshape(1, 16) % 10]


POOL = {"stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2, "padding": PADDING["VALID"]}

EXAMPLES: dict[str, Callable[[Builder], Values]] = {
    "CONV_2D": conv("RELU"),
    "DEPTHWISE_CONV_2D": depthwise,
    "FULLY_CONNECTED": dense,
    "TRANSPOSE_CONV": transpose_conv,
    "BATCH_MATMUL": batch_matmul,
    "ADD": binary("ADD"),
    "SUB": binary("SUB", fused_activation_function=ACTIVATIONS["RELU"]),
    "MUL": binary("MUL"),
    "DIV": binary("DIV", low2=0.25, high2=2.0),
    "SQUARED_DIFFERENCE": binary("SQUARED_DIFFERENCE"),
    "MAXIMUM": binary("MAXIMUM", low2=-4.0, high2=3.0),
    "MINIMUM": binary("MINIMUM", low2=-4.0, high2=3.0),
    **{k: comparison(k) for k in ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")},
    "SELECT": select("SELECT"),
    "SELECT_V2": select("SELECT_V2"),
    **{k: unary(k, -8.0, 9.0) for k in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "HARD_SWISH", "GELU", "ELU")},
    "LEAKY_RELU": unary("LEAKY_RELU", alpha=0.2),
    "PRELU": prelu,
    "EXP": unary("EXP", -4.0, 2.0),
    "LOG": unary("LOG", 0.0, 4.0),
    "SQRT": unary("SQRT", 0.0, 4.0),
    "RSQRT": unary("RSQRT", 0.0, 4.0),
    "ABS": unary("ABS"),
    "LOGISTIC": unary("LOGISTIC", -7.0, 7.0),
    "TANH": unary("TANH", -4.0, 4.0),
    "SOFTMAX": unary("SOFTMAX", shape=(64, 4), beta=1.0),
    "LOG_SOFTMAX": unary("LOG_SOFTMAX", -2.0, 2.0, shape=(64, 4)),
    "L2_NORMALIZATION": unary("L2_NORMALIZATION", shape=(64, 4)),
    "RESHAPE": move("RESHAPE", (1, 256), [1, 256], new_shape=[1, 256]),
    "SQUEEZE": move("SQUEEZE", (4, 8, 8), squeeze_dims=[0]),
    "EXPAND_DIMS": move("EXPAND_DIMS", (1, 1, 4, 8, 8), 1),
    "TRANSPOSE": move("TRANSPOSE", (1, 8, 4, 8), [0, 2, 1, 3]),
    "SLICE": move("SLICE", (1, 2, 8, 8), [0, 1, 0, 0], [1, 2, 8, 8]),
    "STRIDED_SLICE": move("STRIDED_SLICE", (1, 2, 8, 8), [0, 0, 0, 0], [1, 4, 8, 8], [1, 2, 1, 1]),
    "GATHER": gather("GATHER", [3, 1, 7], (3, 16)),
    "GATHER_ND": gather("GATHER_ND", [[3], [1]], (2, 16)),
    "CONCATENATION": joined("CONCATENATION", (1, 4, 8, 16), axis=3),
    "PACK": joined("PACK", (2, 1, 4, 8, 8), values_count=2, axis=0),
    "UNPACK": move("UNPACK", (1, 8, 8), outputs=4, num=4, axis=1),
    "SPLIT": move("SPLIT", (1, 2, 8, 8), 1, outputs=2, data=1, num_splits=2),
    "SPLIT_V": move("SPLIT_V", (1, 2, 8, 8), [2, 2], 1, outputs=2, num_splits=2),
    "PAD": move("PAD", (1, 6, 8, 8), [[0, 0], [1, 1], [0, 0], [0, 0]]),
    "PADV2": padv2,
    "MIRROR_PAD": move("MIRROR_PAD", (1, 6, 8, 8), [[0, 0], [1, 1], [0, 0], [0, 0]], mode=0),
    "TILE": move("TILE", (1, 8, 8, 8), [1, 2, 1, 1]),
    "BROADCAST_TO": move("BROADCAST_TO", (2, 4, 8, 8), [2, 4, 8, 8]),
    "REVERSE_V2": move("REVERSE_V2", (1, 4, 8, 8), [1]),
    "SPACE_TO_DEPTH": move("SPACE_TO_DEPTH", (1, 2, 4, 32), block_size=2),
    "DEPTH_TO_SPACE": move("DEPTH_TO_SPACE", (1, 8, 16, 2), block_size=2),
    "SPACE_TO_BATCH_ND": move("SPACE_TO_BATCH_ND", (4, 2, 4, 8), [2, 2], [[0, 0], [0, 0]]),
    "BATCH_TO_SPACE_ND": move("BATCH_TO_SPACE_ND", (1, 4, 8, 8), [2, 2], [[0, 0], [0, 0]], inputs=(4, 2, 4, 8)),
    "DYNAMIC_UPDATE_SLICE": dynamic_update_slice,
    "MAX_POOL_2D": move("MAX_POOL_2D", (1, 2, 4, 8), **POOL),
    "AVERAGE_POOL_2D": move("AVERAGE_POOL_2D", (1, 2, 4, 8), **POOL),
    "RESIZE_NEAREST_NEIGHBOR": move("RESIZE_NEAREST_NEIGHBOR", (1, 8, 16, 8), [8, 16]),
    "RESIZE_BILINEAR": move("RESIZE_BILINEAR", (1, 8, 16, 8), [8, 16], half_pixel_centers=True),
    "REDUCE_MAX": move("REDUCE_MAX", (1, 8, 8), [1]),
    "REDUCE_MIN": move("REDUCE_MIN", (1, 8, 8), [1]),
    "MEAN": move("MEAN", (1, 8), [1, 2]),
    "SUM": move("SUM", (1, 8), [1, 2]),
    "TOPK_V2": topk,
    "ARG_MAX": arg("ARG_MAX"),
    "ARG_MIN": arg("ARG_MIN"),
    "ONE_HOT": one_hot,
    "REDUCE_PROD": reduce_prod,
    "LOOKUP": look_up,
    "CAST": cast,
    "WHILE": loop,
    "IF": branch,
    "READ_VARIABLE": variable,
    "ASSIGN_VARIABLE": variable,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
    "SVDF": svdf,
    "SHAPE": shape_of("SHAPE", (2,)),
    "RANK": shape_of("RANK", ()),
}
