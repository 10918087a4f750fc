"""Steps of random graphs that move, pick, join and reduce values (see `random_graphs`)."""

from __future__ import annotations

import numpy as np
from random_maker import Maker

from fullint.model.ir import Tensor
from fullint.ops.make import PADDING


def shuffle(m: Maker):
    """Same elements, another shape or order."""
    x = m.pick(lambda t: t.size <= 1024)
    n, size = len(x.shape), m.size[x]
    match m.one("RESHAPE", "TRANSPOSE", "EXPAND_DIMS", "SQUEEZE", "REVERSE_V2", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "blocks"):
        case "RESHAPE":
            y = m.g.reshape(x, *m.one((1, -1), (x.shape[0], -1), (-1, x.shape[-1]), (1, x.size)))
            m.size[y] = size
            return y
        case "TRANSPOSE":
            order = [int(i) for i in m.rng.permutation(n)]
            return m.op("TRANSPOSE", x, m.ints(*order), shape=[x.shape[i] for i in order], size=size)
        case "EXPAND_DIMS" if n < 5:
            at = int(m.rng.integers(n + 1))
            return m.op("EXPAND_DIMS", x, m.g.const(np.int32(at)), shape=(*x.shape[:at], 1, *x.shape[at:]), size=size)
        case "SQUEEZE" if 1 in x.shape and n > 2:
            at = x.shape.index(1)
            return m.op("SQUEEZE", x, shape=(*x.shape[:at], *x.shape[at + 1 :]), squeeze_dims=[at], size=size)
        case "REVERSE_V2":
            return m.op("REVERSE_V2", x, m.ints(int(m.rng.integers(n))), shape=x.shape, size=size)
        case kind if n == 4:
            return blocks(m, kind, x)
    return None


def blocks(m: Maker, kind: str, x: Tensor):
    b, h, w, c = x.shape
    even = h % 2 == 0 and w % 2 == 0
    if kind == "SPACE_TO_DEPTH" and even:
        return m.op(kind, x, shape=(b, h // 2, w // 2, c * 4), block_size=2, size=m.size[x])
    if kind == "DEPTH_TO_SPACE" and c % 4 == 0:
        return m.op(kind, x, shape=(b, h * 2, w * 2, c // 4), block_size=2, size=m.size[x])
    if kind != "blocks" or not even:
        return None
    none = m.g.const(np.zeros((2, 2), np.int32))
    there = m.op("SPACE_TO_BATCH_ND", x, m.ints(2, 2), none, shape=(b * 4, h // 2, w // 2, c), size=m.size[x])
    inner = m.op(m.one("RELU", "TANH", "HARD_SWISH"), there, size=m.size[x])
    return m.op("BATCH_TO_SPACE_ND", inner, m.ints(2, 2), none, shape=x.shape, size=m.size[x])


def part(m: Maker):
    """Some of the elements."""
    x = m.pick()
    axis = int(np.argmax(x.shape))
    n, size, rank = x.shape[axis], m.size[x], len(x.shape)
    if n < 2:
        return None

    def along(count: int) -> tuple[int, ...]:
        return (*x.shape[:axis], count, *x.shape[axis + 1 :])

    at = np.arange(rank) == axis
    match m.one("SLICE", "STRIDED_SLICE", "GATHER", "GATHER_ND", "UNPACK", "SPLIT", "SPLIT_V", "TOPK_V2", "UPDATE"):
        case "SLICE":
            return m.op("SLICE", x, m.ints(*(at * 1)), m.ints(*along(n - 1)), shape=along(n - 1), size=size)
        case "STRIDED_SLICE":
            start, step = m.ints(*(at * 1)), m.ints(*(at * 1 + 1))
            return m.op("STRIDED_SLICE", x, start, m.ints(*x.shape), step, shape=along(n // 2), size=size)
        case "GATHER":
            picked = m.rng.integers(0, n, 3)
            return m.op("GATHER", x, m.ints(*picked), shape=along(3), axis=axis, size=size)
        case "GATHER_ND" if x.shape[0] > 1:
            return m.op("GATHER_ND", x, m.ints([1], [0]), shape=(2, *x.shape[1:]), size=size)
        case "UNPACK" if rank > 1 and n <= 6:
            return m.op("UNPACK", x, shape=(*x.shape[:axis], *x.shape[axis + 1 :]), outputs=n, num=n, axis=axis, size=size)
        case "SPLIT" if n % 2 == 0:
            return m.op("SPLIT", m.g.const(np.int32(axis)), x, shape=along(n // 2), outputs=2, num_splits=2, size=size)
        case "SPLIT_V":
            a, b = m.op(
                "SPLIT_V", x, m.ints(1, n - 1), m.g.const(np.int32(axis)), shape=along(1), outputs=2, num_splits=2, size=size
            )
            b.shape = along(n - 1)
            return [a, b]
        case "TOPK_V2":
            k = min(3, x.shape[-1])
            values, where = m.op("TOPK_V2", x, m.g.const(np.int32(k)), shape=(*x.shape[:-1], k), outputs=2, size=size)
            where.dtype = "int32"
            return [values, where] if m.chance(0.3) else values
        case "UPDATE":
            piece = m.op("SLICE", x, m.ints(*(at * 1)), m.ints(*along(1)), shape=along(1), size=size)
            piece = m.op(m.one("TANH", "LOGISTIC", "ABS"), piece, size=size)
            return m.op("DYNAMIC_UPDATE_SLICE", x, piece, m.ints(*(at * 0)), shape=x.shape, size=size)
    return None


def join(m: Maker):
    x = m.pick(lambda t: t.size <= 512)
    if x is None:
        return None
    more = [m.pick(lambda t: t.shape == x.shape) for _ in range(m.one(1, 1, 2))]
    parts = [m.op(kind, t, size=1) if (kind := m.one("", "", "LOGISTIC", "TANH")) else t for t in (x, *more)]
    if m.chance(0.2) and len(x.shape) > 1:
        parts.append(m.constant(x.shape))
        m.size[parts[-1]] = 3.0
    if m.chance(0.2):
        parts.append(parts[0])
    size, axis = max(m.size[t] for t in parts), int(m.rng.integers(len(x.shape)))
    if m.chance(0.25) and len(x.shape) < 5:
        return m.op("PACK", *parts, shape=(*x.shape[:axis], len(parts), *x.shape[axis:]), values_count=len(parts), axis=axis)
    shape = (*x.shape[:axis], x.shape[axis] * len(parts), *x.shape[axis + 1 :])
    return m.op("CONCATENATION", *parts, shape=shape, axis=axis, size=size)


def grow(m: Maker):
    x = m.pick(lambda t: t.size <= 256 and len(t.shape) <= 4)
    if x is None:
        return None
    n, size = len(x.shape), m.size[x]
    around = np.zeros((n, 2), np.int32)
    around[-1 if n < 3 else n - 2] = 1
    padded = tuple(a + int(b.sum()) for a, b in zip(x.shape, around, strict=True))
    match m.one("PAD", "PADV2", "MIRROR_PAD", "TILE", "BROADCAST_TO", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"):
        case "PAD":
            return m.op("PAD", x, m.g.const(around), shape=padded, size=size)
        case "PADV2":
            value = m.one(-2.0, 0.0, 1.0, -60.0)
            return m.op("PADV2", x, m.g.const(around), m.g.const(value), shape=padded, size=max(size, -value))
        case "MIRROR_PAD" if min(x.shape[-1 if n < 3 else n - 2], 3) > 1:
            return m.op("MIRROR_PAD", x, m.g.const(around), shape=padded, mode=m.one(0, 1), size=size)
        case "TILE":
            times = [2 if i == n - 1 else 1 for i in range(n)]
            return m.op("TILE", x, m.ints(*times), shape=[a * b for a, b in zip(x.shape, times, strict=True)], size=size)
        case "BROADCAST_TO" if x.shape[0] == 1:
            return m.op("BROADCAST_TO", x, m.ints(2, *x.shape[1:]), shape=(2, *x.shape[1:]), size=size)
        case kind if kind.startswith("RESIZE") and n == 4:
            shape = (x.shape[0], x.shape[1] * 2, x.shape[2] + 1, x.shape[3])
            style = {m.one("align_corners", "half_pixel_centers"): True} if m.chance(0.6) else {}
            return m.op(kind, x, m.ints(*shape[1:3]), shape=shape, size=size, **style)
    return None


def pool(m: Maker):
    x = m.pick(lambda t: len(t.shape) == 4 and min(t.shape[1:3]) >= 2)
    if x is None:
        return None
    b, h, w, c = x.shape
    kind, same = m.one("MAX_POOL_2D", "AVERAGE_POOL_2D", "AVERAGE_POOL_2D", "L2_POOL_2D"), m.chance(0.5)
    shape = (b, h, w, c) if same else (b, h // 2, w // 2, c)
    options = {"filter_width": 2, "filter_height": 2, "padding": PADDING["SAME" if same else "VALID"]}
    options |= {"stride_w": 1, "stride_h": 1} if same else {"stride_w": 2, "stride_h": 2}
    fused = m.one(0, 0, 1, 3) if kind != "L2_POOL_2D" else 0
    return m.op(kind, x, shape=shape, size=m.size[x], fused_activation_function=fused, **options)


def reduce(m: Maker):
    x = m.pick(lambda t: len(t.shape) > 1)
    kind, n = m.one("MEAN", "MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "ARG_MAX", "ARG_MIN"), len(x.shape)
    if kind.startswith("ARG"):
        axis = int(m.rng.integers(n))
        shape = (*x.shape[:axis], *x.shape[axis + 1 :])
        return m.op(kind, x, m.g.const(np.int32(axis)), shape=shape, dtype="int32", output_type=2)
    axes = sorted(int(a) for a in m.rng.choice(n, int(m.rng.integers(1, n)), replace=False))
    keep = m.chance(0.5)
    shape = [1 if i in axes else k for i, k in enumerate(x.shape) if keep or i not in axes]
    size = m.size[x] * (np.prod([x.shape[i] for i in axes]) ** 0.5 if kind == "SUM" else 1)
    return m.op(kind, x, m.ints(*axes), shape=shape, keep_dims=keep, size=float(size))
