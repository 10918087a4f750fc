"""Random float graphs for the property test (`test_random_graphs`): `made(seed)` is one.

A graph has one to three inputs and 5 to 25 steps; a step takes tensors that are there, the latest most
often, and adds one operator or a few that belong together. Values are kept in sane ranges: each tensor
has an estimate of its largest absolute value, and what passes a step's limit is squashed first; what
must be positive is made so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from op_examples import EXAMPLES
from random_maker import LARGEST, Maker
from random_moves import grow, join, part, pool, reduce, shuffle

from fullint.model.ir import Tensor
from fullint.ops.builder import Builder
from fullint.ops.make import ACTIVATIONS, make_op

SHAPES = ((1, 4, 4, 4), (1, 6, 5, 3), (1, 16), (3, 8), (1, 4, 8), (2, 3, 8), (1, 12), (1, 2, 2, 3, 4))
UNARY = (
    "RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 HARD_SWISH GELU ELU LEAKY_RELU EXP LOG SQRT RSQRT ABS LOGISTIC TANH SQUARE SIN COS"
    " FLOOR CEIL ROUND SIGN NEG"
).split()
OF_POSITIVE = ("LOG", "SQRT", "RSQRT")
LIMIT = {"EXP": 4.0, "SIN": 8.0, "COS": 8.0, "SQUARE": 8.0, "POW": 4.0, "MUL": 8.0, "SQUARED_DIFFERENCE": 8.0}
SIZE = {"LOGISTIC": 1.0, "TANH": 1.0, "SIN": 1.0, "COS": 1.0, "SIGN": 1.0, "RELU6": 6.0, "EXP": 55.0, "LOG": 4.0, "RSQRT": 1.5}
COMPARISONS = ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL")


def unary(m: Maker):
    kind = m.one(*UNARY)
    x = m.pick(limit=LIMIT.get(kind, LARGEST))
    x = m.positive(x) if kind in OF_POSITIVE else x
    options = {"alpha": m.one(0.0, 0.1, 0.3)} if kind == "LEAKY_RELU" else {}
    size = {"SQUARE": m.size[x] ** 2}.get(kind, min(m.size[x], SIZE.get(kind, m.size[x])))
    return m.op(kind, x, size=SIZE["EXP"] if kind == "EXP" else size, **options)


def rows(m: Maker):
    """Over the last axis."""
    kind = m.one("SOFTMAX", "SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION", "LOCAL_RESPONSE_NORMALIZATION", "PRELU")
    x = m.pick(lambda t: 2 <= len(t.shape) <= 4, 8.0)
    if x is None or (kind == "LOCAL_RESPONSE_NORMALIZATION" and len(x.shape) != 4):
        return None
    if kind == "LOCAL_RESPONSE_NORMALIZATION":
        return m.op(kind, x, radius=1, bias=1.0, alpha=m.one(0.1, 0.5), beta=m.one(0.5, 0.75), size=m.size[x])
    if kind == "PRELU":
        return m.op(kind, x, m.constant((x.shape[-1],), True) if m.chance(0.5) else m.g.const(0.2), size=2 * m.size[x])
    return m.op(kind, x, size=8 if kind == "LOG_SOFTMAX" else 1, **({"beta": m.one(1.0, 0.5)} if kind == "SOFTMAX" else {}))


def other(m: Maker, x: Tensor, limit: float) -> Tensor:
    """A second operand: a tensor of the shape, itself, a constant, a mean that is broadcast."""
    same = m.pick(lambda t: t.shape == x.shape and t is not x, limit)
    match m.one("same", "same", "same", "constant", "constant", "mean", "itself"):
        case "same" if same is not None:
            return same
        case "mean" if len(x.shape) > 1:
            axes = sorted(int(a) for a in m.rng.choice(len(x.shape), int(m.rng.integers(1, len(x.shape))), replace=False))
            shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
            return m.op("MEAN", x, m.ints(*axes), shape=shape, keep_dims=True, size=m.size[x])
        case "itself":
            return x
    c = m.constant(m.one((), x.shape[-1:], x.shape))
    m.size[c] = 2.0
    return c


def binary(m: Maker):
    kind = m.one(*"ADD ADD ADD SUB MUL MUL SQUARED_DIFFERENCE MAXIMUM MINIMUM DIV".split())
    limit = LIMIT.get(kind, LARGEST)
    x = m.pick(limit=limit)
    y = other(m, x, limit)
    if kind == "DIV":
        y = m.positive(y) if not y.is_constant else m.constant(y.shape, True)
        m.size[y] = 2.0
    a, b = m.size[x], m.size[y]
    size = {"ADD": a + b, "SUB": a + b, "MUL": a * b, "SQUARED_DIFFERENCE": (a + b) ** 2, "DIV": 2 * a}.get(kind, max(a, b))
    fused = m.one(0, 0, 1, 3, 2) if kind in ("ADD", "SUB", "MUL") else 0
    pair = (x, y) if m.chance(0.7) or kind == "DIV" else (y, x)
    return m.op(kind, *pair, size=size, **({"fused_activation_function": fused} if fused else {}))


def by_constant(m: Maker):
    kind = m.one("POW", "POW", "FLOOR_DIV", "FLOOR_MOD", "DIV", "one_over", "minus", "scale", "scale")
    x = m.pick(limit=4.0)
    if kind == "scale":
        factor = m.one(-10.0, 10.0, 3.0, 0.05)
        return m.op("MUL", x, m.g.const(factor), size=m.size[x] * abs(factor))
    if kind == "POW":
        return m.op(kind, m.positive(x), m.g.const(m.one(2.0, 0.5, -0.5, 3.0, 1.5, -1.0)), size=m.size[x] ** 2)
    if kind == "one_over":
        return m.op("DIV", m.g.const(m.one(1.0, 2.0)), m.positive(x), size=4)
    if kind == "minus":
        return m.op("SUB", m.g.const(1.0), x, size=m.size[x] + 1)
    return m.op(kind, x, m.g.const(m.one(0.5, 2.0, 0.75)), size=2 * m.size[x])


def run_time_power(m: Maker):
    x = m.positive(m.pick(limit=4.0))
    y = m.pick(lambda t: t.shape == x.shape, 1.0)
    return m.op("POW", x, y, size=8) if y is not None else None


def clip(m: Maker):
    x, low = m.pick(), m.one(0.0, -1.0, -3.0, 0.5)
    low = m.op("MAXIMUM", x, m.g.const(low), size=m.size[x])
    return m.op("MINIMUM", low, m.g.const(m.one(1.0, 6.0, 2.0)), size=6)


def sums(m: Maker):
    x = m.pick()
    if m.chance(0.5):
        axis = int(m.rng.integers(len(x.shape)))
        options = {"exclusive": m.chance(0.3), "reverse": m.chance(0.3)}
        return m.op("CUMSUM", x, m.ints(axis), shape=x.shape, size=m.size[x] * x.shape[axis] ** 0.5, **options)
    terms = [x, *(t for t in (m.pick(lambda t: t.shape == x.shape) for _ in range(m.one(1, 2, 3))) if t is not None)]
    return m.op("ADD_N", *terms, shape=x.shape, size=sum(m.size[t] for t in terms))


def condition(m: Maker, shape: tuple[int, ...]) -> Tensor:
    """A boolean of a shape: a graph input, or a comparison, or two."""
    given = [t for t in m.pool if t.dtype == "bool" and t.shape == shape]
    if given and m.chance(0.5):
        return m.one(*given)
    x = m.pick(lambda t: t.shape == shape)
    made = m.op(m.one(*COMPARISONS), x, other(m, x, LARGEST), shape=shape)
    match m.one("plain", "plain", "not", "and", "or"):
        case "not":
            return m.op("LOGICAL_NOT", made)
        case "and" | "or" as word:
            return m.op(f"LOGICAL_{word.upper()}", made, condition(m, shape))
    return made


def compare(m: Maker):
    x = m.pick(lambda t: len(t.shape) < 5)
    if x is None:
        return None
    c = condition(m, x.shape)
    y = m.pick(lambda t: t.shape == x.shape)
    match m.one("SELECT", "SELECT_V2", "cast", "scalar", "output"):
        case "cast":
            return m.op("CAST", c, dtype="float32", in_data_type=6, out_data_type=0)
        case "scalar":
            return m.op("SELECT_V2", c, x, m.g.const(m.one(0.0, -4.0, 3.0)), shape=x.shape, size=max(4, m.size[x]))
        case "SELECT" | "SELECT_V2" as kind:
            return m.op(kind, c, x, y, size=max(m.size[x], m.size[y]))
    return c


def casts(m: Maker):
    whole = [t for t in m.pool if t.dtype in ("int32", "bool")]
    if whole and m.chance(0.6):
        x = m.one(*whole)
        return m.op("CAST", x, dtype="float32", in_data_type=2 if x.dtype == "int32" else 6, out_data_type=0, size=10)
    x = m.pick()
    whole = m.op("CAST", x, dtype="int32", in_data_type=0, out_data_type=2, size=m.size[x])
    return m.op("CAST", whole, dtype="float32", in_data_type=2, out_data_type=0, size=m.size[x]) if m.chance(0.7) else whole


def convolve(m: Maker):
    x = m.pick(lambda t: len(t.shape) == 4 and t.shape[0] == 1 and t.size <= 512)
    if x is None:
        return None
    options = {"activation": m.one("NONE", "RELU", "RELU6", "RELU_N1_TO_1"), "bias": m.chance(0.8)}
    kind, channels = m.one("conv", "conv", "depthwise", "transpose_conv", "grouped", "run_time"), x.shape[3]
    match kind:
        case "depthwise":
            y = m.g.depthwise(x, m.one(1, 2), m.one(1, 3), stride=m.one(1, 1, 2), **options)
        case "transpose_conv":
            y = m.g.transpose_conv(x, m.one(2, 4), m.one(2, 3), **options)
        case "grouped" if channels % 2 == 0:
            y = m.g.conv(x, 4, groups=2, **options)
        case "run_time":
            scale = m.op("TANH", m.op("REDUCE_MAX", x, m.ints(1, 2, 3), shape=(1, 1, 1, 1), keep_dims=True, size=m.size[x]))
            w = m.op("MUL", m.g.random(3, 3, 3, channels, scale=0.3), scale)
            y = m.g.conv(x, weights=w, **options)
        case _:
            y = m.g.conv(x, m.one(3, 4), m.one(1, 3), stride=m.one(1, 1, 2), **options)
    m.size[y] = 3 * m.size[x]
    return normalised(m, y) if m.chance(0.3) else y


def normalised(m: Maker, y: Tensor) -> Tensor:
    """Batch normalization as converters leave it."""
    y = m.op("MUL", y, m.constant(y.shape[-1:]), size=2 * m.size[y])
    y = m.op("ADD", y, m.constant(y.shape[-1:]), size=2 + m.size[y])
    return m.op("RELU", y, size=m.size[y]) if m.chance(0.5) else y


def dense(m: Maker):
    x = m.pick(lambda t: 2 <= len(t.shape) <= 4)
    if x is None:
        return None
    activation, n = m.one("NONE", "RELU", "RELU6"), x.shape[-1]
    w = m.pick(lambda t: len(t.shape) == 2 and t.shape[-1] == n and t is not x, 2.0) if m.chance(0.3) else None
    y = m.g.dense(x, w.shape[0] if w else m.one(4, 8), weights=w, activation=activation, bias=m.chance(0.7))
    m.size[y] = 3 * m.size[x]
    return normalised(m, y) if m.chance(0.2) else y


def matmul(m: Maker):
    x = m.pick(lambda t: len(t.shape) == 3, 8.0)
    if x is None:
        return None
    y = m.pick(lambda t: len(t.shape) == 3 and t.shape[0] == x.shape[0] and t.shape[2] == x.shape[2], 8.0)
    scores = m.op("BATCH_MATMUL", x, y, shape=(*x.shape[:2], y.shape[1]), adj_y=True, size=3 * m.size[x] * m.size[y])
    if m.chance(0.5):
        return scores
    share = m.op("SOFTMAX", m.tame(scores, 8.0), beta=1.0)
    return m.op("BATCH_MATMUL", share, y, shape=x.shape, size=m.size[y])


def gate(m: Maker):
    """Squeeze and excite, swish, mish: a tensor times a function of itself."""
    x = m.pick()
    match m.one("swish", "mish", "hard", "excite"):
        case "swish":
            return m.op("MUL", x, m.op("LOGISTIC", x), size=m.size[x])
        case "mish":
            e = m.op("EXP", m.tame(x, 4.0), size=55)
            y = m.op("TANH", m.op("LOG", m.op("ADD", e, m.g.const(1.0), size=56), size=4))
            return m.op("MUL", x, y, size=m.size[x])
        case "hard":
            r = m.op("RELU6", m.op("ADD", x, m.g.const(3.0), size=m.size[x] + 3), size=6)
            return m.op("MUL", x, m.op("MUL", r, m.g.const(1 / 6)), size=m.size[x])
    if len(x.shape) != 4 or x.shape[0] != 1:
        return None
    pooled = m.op("MEAN", x, m.ints(1, 2), shape=(1, 1, 1, x.shape[3]), keep_dims=True, size=m.size[x])
    return m.op("MUL", x, m.op("LOGISTIC", m.g.conv(pooled, x.shape[3], 1)), size=m.size[x])


def residual(m: Maker):
    """A layer's output added to its input."""
    x = m.pick(lambda t: (len(t.shape) == 4 and t.shape[0] == 1) or len(t.shape) == 2)
    if x is None:
        return None
    y = m.g.conv(x, x.shape[3], activation="RELU") if len(x.shape) == 4 else m.g.dense(x, x.shape[1])
    return m.op("ADD", x, y, size=4 * m.size[x], fused_activation_function=ACTIVATIONS[m.one("NONE", "RELU")])


def shape_of(m: Maker):
    x = m.pick()
    if m.chance(0.5):
        return m.op("RANK", x, shape=(), dtype="int32")
    return m.op("SHAPE", x, shape=(len(x.shape),), dtype="int32", out_type=2)


def loop(m: Maker):
    """A recurrence of two to four rounds, with a value that is carried along unchanged now and then."""
    x = m.pick(limit=4.0)
    y = m.pick(lambda t: t.shape == x.shape, 4.0)
    cond, body = Builder(name="cond"), Builder(m.one(1, 2, 3), name="body")
    i, *_ = cond.input(dtype="int32"), cond.input(*x.shape), cond.input(*x.shape)
    cond.output(cond.op("LESS", i, cond.const(np.int32(m.one(2, 3, 4))), shape=()))
    j, p, q = body.input(dtype="int32"), body.input(*x.shape), body.input(*x.shape)
    mixed = body.op("ADD", body.op("MUL", p, body.const(0.5)), q)
    p2 = body.op(m.one("TANH", "RELU6", "LOGISTIC", "SIN"), mixed)
    q2 = m.one(q, body.op("MUL", q, body.const(0.9)), body.op("RELU", p))
    body.output(body.op("ADD", j, body.const(np.int32(1)), shape=()), p2, q2)
    options = {"cond_subgraph_index": cond.graph, "body_subgraph_index": body.graph}
    made = m.op("WHILE", m.g.const(np.int32(0)), x, y, shape=x.shape, outputs=3, size=6, **options)
    made[0].shape = ()
    for t in made[1:]:
        t.dtype = "float32"
    return made[1:]


def branch(m: Maker):
    x = m.pick(limit=8.0)
    graphs = []
    for kind in ("TANH", m.one("RELU", "COS", "ABS")):
        b = Builder(name="branch")
        p = b.input(*x.shape)
        b.output(b.op("ADD", b.op(kind, p), p) if m.chance(0.5) else b.op(kind, p))
        graphs.append(b.graph)
    c = next((t for t in m.pool if t.dtype == "bool" and t.shape == (1,)), None)
    if c is None:
        c = m.g.input(1, dtype="bool")
        m.pool.insert(0, c)
    options = {"then_subgraph_index": graphs[0], "else_subgraph_index": graphs[1]}
    return m.op("IF", c, x, shape=x.shape, dtype="float32", size=2 * m.size[x], **options)


def recurrent(m: Maker):
    """The op table's own example of an operator with state, as one more input."""
    EXAMPLES[m.one("UNIDIRECTIONAL_SEQUENCE_LSTM", "SVDF")](m.g)
    y = m.g.graph.outputs.pop()
    m.size[y] = 4.0
    return y


def variable(m: Maker):
    """A value put into a variable and read back."""
    x = m.pick()
    name = f"state{len(m.g.graph.ops)}"
    handle, out = Tensor(name, (), "resource"), Tensor(f"{name}/read", x.shape, "float32")
    m.g.graph.ops += [
        make_op("VAR_HANDLE", [], [handle], container="", shared_name=name),
        make_op("ASSIGN_VARIABLE", [handle, x], []),
        make_op("READ_VARIABLE", [handle], [out]),
    ]
    m.size[out] = m.size[x]
    return m.op("ADD", out, m.g.const(0.25), size=m.size[x] + 1)  # XNNPACK crashes on MUL of what was read by itself


STEPS: dict[Callable[[Maker], object], float] = {
    **dict.fromkeys((unary, binary, part, convolve), 4),
    **dict.fromkeys((shuffle, dense, join), 3),
    **dict.fromkeys((rows, by_constant, compare, grow, reduce, residual, gate), 2),
    **dict.fromkeys((clip, sums, casts, matmul, pool), 1),
    **dict.fromkeys((run_time_power, shape_of, loop, branch), 0.4),
    **dict.fromkeys((recurrent, variable), 0.1),
}


def made(seed: int) -> tuple[Builder, list[dict[str, np.ndarray]]]:
    """A graph and six samples."""
    m = Maker(seed)
    for _ in range(m.one(1, 1, 2, 2, 3)):
        x = m.g.input(*m.one(*SHAPES))
        m.pool.append(x)
        m.size[x] = 3.0
        if m.chance(0.15):
            m.pool.append(m.g.input(*x.shape, dtype=m.one("bool", "int32")))
    weights = np.array(list(STEPS.values()))
    for _ in range(int(m.rng.integers(5, 21))):
        step = list(STEPS)[int(m.rng.choice(len(weights), p=weights / weights.sum()))]
        new = step(m)
        m.pool += [t for t in (new if isinstance(new, list) else [new]) if t is not None]
    m.g.output(*_outputs(m))
    return m.g, _samples(m)


def _outputs(m: Maker) -> Sequence[Tensor]:
    """Most of what nobody reads, now and then a tensor that others read, seldom an input or the same one twice."""
    read = {t for op in m.g.graph.ops for t in op.inputs}
    given = set(m.g.graph.inputs)
    ends = [t for t in m.pool if t not in read and t not in given]
    found = [t for t in ends if m.chance(0.8)][-4:] or ends[-1:]
    inner = [t for t in m.pool if t in read and t not in given]
    if (inner and m.chance(0.3)) or not found:
        found.append(m.one(*inner) if inner else m.op("TANH", m.pick()))
    if m.chance(0.03):
        found.append(m.one(*m.g.graph.inputs))
    return found


def _samples(m: Maker) -> list[dict[str, np.ndarray]]:
    scales = {t: m.one(0.5, 1.0, 1.0, 2.0) for t in m.g.graph.inputs}
    offsets = {t: m.one(0.0, 0.0, 0.0, 1.0) for t in m.g.graph.inputs}

    def draw(t: Tensor) -> np.ndarray:
        if t.dtype == "float32":
            return (m.rng.normal(size=t.shape) * scales[t] + offsets[t]).clip(-4, 4).astype(np.float32)
        return m.rng.integers(0, 2 if t.dtype == "bool" else 9, t.shape).astype(t.dtype)

    return [{t.name: draw(t) for t in m.g.graph.inputs} for _ in range(6)]
