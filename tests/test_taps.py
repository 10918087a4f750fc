"""What operators with weights read, and what is seen of it, against the runtime and against loops in plain NumPy."""

from collections.abc import Sequence

import numpy as np
import pytest
from conftest import run
from op_examples import EXAMPLES

from fullint.model.ir import Op, Tensor
from fullint.ops import ROWS
from fullint.ops.builder import Builder
from fullint.ops.make import PADDING, make_op
from fullint.ops.taps import Taps
from fullint.quantization.patches import Patches, TapMeans, drawn


def windowed(
    g: Builder,
    kind: str,
    x: Tensor,
    w: Tensor,
    padding: str,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    multiplier: int | None = None,
) -> Op:
    """A convolution whose rows are not like its columns."""
    reach = [(k - 1) * d + 1 for k, d in zip(w.shape[1:3], dilation, strict=True)]
    sizes = [-(-n // s) if padding == "SAME" else (n - r) // s + 1 for n, s, r in zip(x.shape[1:3], stride, reach, strict=True)]
    channels = w.shape[3] if multiplier else w.shape[0]
    y = Tensor("y", (x.shape[0], *sizes, channels), "float32")
    options = {"stride_h": stride[0], "stride_w": stride[1], "padding": PADDING[padding]}
    options |= {"dilation_h_factor": dilation[0], "dilation_w_factor": dilation[1]}
    options |= {"depth_multiplier": multiplier} if multiplier else {}
    g.graph.ops.append(make_op(kind, [x, w, g.random(channels)], [y], **options))
    g.output(y)
    return g.graph.ops[-1]


def spreading(
    g: Builder, x: Tensor, w: Tensor, padding: str, stride: tuple[int, int], sizes: tuple[int, int], *, bias: bool = True
) -> Op:
    y = Tensor("y", (x.shape[0], *sizes, w.shape[0]), "float32")
    options = {"stride_h": stride[0], "stride_w": stride[1], "padding": PADDING[padding]}
    inputs = [g.const(np.int32(y.shape)), w, x, g.random(w.shape[0]) if bias else None]
    g.graph.ops.append(make_op("TRANSPOSE_CONV", inputs, [y], **options))
    g.output(y)
    return g.graph.ops[-1]


def computed(op: Op, x: np.ndarray) -> np.ndarray:
    """The results by the definition: sums over taps and channels of weights times what the taps read."""
    row = ROWS[op.kind]
    taps = row.taps(op)
    assert taps is not None and row.weight is not None
    w = np.moveaxis(op.inputs[row.weight].array.astype(np.float64), row.axis or 0, 0)
    w = w.reshape(len(w), taps.down.shape[1], taps.across.shape[1], -1)
    outputs, each = len(w), w.shape[-1]
    groups = taps.channels // each
    x = x.reshape(taps.batch, *taps.size, taps.channels).astype(np.float64)
    y = np.zeros((taps.batch, len(taps.down), len(taps.across), outputs))
    for r, s, k, m in np.ndindex(*y.shape[1:3], *w.shape[1:3]):
        if taps.down[r, k] < 0 or taps.across[s, m] < 0:
            continue
        read = x[:, taps.down[r, k], taps.across[s, m]].reshape(taps.batch, groups, each)
        y[:, r, s] += np.einsum("bgc,goc->bgo", read, w[:, k, m].reshape(groups, -1, each)).reshape(taps.batch, outputs)
    bias = op.input(row.bias or 0)
    return (y if bias is None else y + bias.array).reshape(op.outputs[0].shape)


def assert_computes_what_the_runtime_does(g: Builder, op: Op) -> None:
    x = g.rng.normal(size=g.graph.inputs[0].shape).astype(np.float32)
    expected = run(g.model(), [x], "builtin")[0]
    np.testing.assert_allclose(computed(op, x), expected, rtol=1e-4, atol=1e-5)


WINDOWS = [((1, 1), (1, 1)), ((2, 3), (1, 1)), ((1, 1), (2, 3)), ((3, 1), (1, 2))]


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("stride", "dilation"), WINDOWS)
def test_convolutions(g: Builder, padding: str, stride: tuple[int, int], dilation: tuple[int, int]) -> None:
    op = windowed(g, "CONV_2D", g.input(2, 9, 10, 3), g.random(4, 3, 2, 3), padding, stride, dilation)
    assert_computes_what_the_runtime_does(g, op)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 5), (7, 6)])
def test_windows_of_even_and_odd_sizes(g: Builder, padding: str, size: tuple[int, int]) -> None:
    """Where padding is uneven, there is more of it behind; a window as large as the picture has one result."""
    op = windowed(g, "CONV_2D", g.input(1, 7, 6, 2), g.random(3, *size, 2), padding, (2, 2))
    assert_computes_what_the_runtime_does(g, op)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_grouped_convolutions(g: Builder, padding: str) -> None:
    op = windowed(g, "CONV_2D", g.input(2, 6, 5, 6), g.random(9, 3, 2, 2), padding, (1, 2))
    assert_computes_what_the_runtime_does(g, op)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize(("stride", "dilation"), [((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 1), (2, 3))])
def test_depthwise_convolutions(
    g: Builder, padding: str, multiplier: int, stride: tuple[int, int], dilation: tuple[int, int]
) -> None:
    w = g.random(1, 3, 2, 3 * multiplier)
    op = windowed(g, "DEPTHWISE_CONV_2D", g.input(2, 9, 10, 3), w, padding, stride, dilation, multiplier)
    assert_computes_what_the_runtime_does(g, op)


@pytest.mark.parametrize(
    ("padding", "stride", "sizes"),
    [
        ("SAME", (1, 1), (4, 3)),
        ("SAME", (2, 2), (8, 6)),
        ("SAME", (2, 2), (7, 5)),
        ("SAME", (2, 3), (7, 8)),
        ("SAME", (4, 4), (16, 12)),  # strides larger than the window: some results are only the bias
        ("VALID", (1, 1), (6, 4)),
        ("VALID", (2, 2), (9, 6)),
        ("VALID", (2, 3), (9, 8)),
        ("VALID", (2, 2), (10, 7)),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_transposed_convolutions(g: Builder, padding: str, stride: tuple[int, int], sizes: tuple[int, int], bias: bool) -> None:
    op = spreading(g, g.input(2, 4, 3, 3), g.random(5, 3, 2, 3), padding, stride, sizes, bias=bias)
    assert_computes_what_the_runtime_does(g, op)


@pytest.mark.parametrize("shape", [(1, 6), (4, 6), (2, 3, 6)])
def test_dense_layers(g: Builder, shape: tuple[int, ...]) -> None:
    g.output(g.dense(g.input(*shape), 5))
    assert_computes_what_the_runtime_does(g, g.graph.ops[-1])


def test_a_dense_layer_that_flattens(g: Builder) -> None:
    """Without keep_num_dims its rows are cut by the number of columns, whatever the shape."""
    g.output(g.op("FULLY_CONNECTED", g.input(2, 2, 3), g.random(5, 6), g.random(5), shape=(2, 5)))
    assert_computes_what_the_runtime_does(g, g.graph.ops[-1])


def test_every_row_with_weights_has_taps() -> None:
    """For the example of each, they give what the runtime computes."""
    kinds = [kind for kind, row in ROWS.items() if row.weight is not None]
    assert len(kinds) >= 4
    for kind in kinds:
        g = Builder()
        (values,) = EXAMPLES[kind](g)
        op = next(op for op in g.graph.ops if op.kind == kind)
        if op.outputs[0] is not g.graph.outputs[0] or op.options.get("fused_activation_function"):
            assert ROWS[kind].taps(op) is not None
            continue
        np.testing.assert_allclose(computed(op, values), run(g.model(), [values], "builtin")[0], rtol=1e-4, atol=1e-5)


def test_what_has_no_shape_to_speak_of_has_no_taps(g: Builder) -> None:
    """An empty batch, and a dense layer whose columns do not divide its input."""
    op = windowed(g, "CONV_2D", g.input(1, 4, 4, 2), g.random(3, 2, 2, 2), "SAME")
    op.inputs[0] = Tensor("empty", (0, 4, 4, 2), "float32")
    assert ROWS[op.kind].taps(op) is None
    g.output(g.dense(g.input(1, 6), 3))
    op = g.graph.ops[-1]
    op.inputs[0] = Tensor("odd", (1, 7), "float32")
    assert ROWS[op.kind].taps(op) is None


def patches(taps: Taps, values: Sequence[np.ndarray], fill: float) -> np.ndarray:
    """All that all results read, [results, channels, taps], one by one."""
    found = []
    for x in values:
        for picture in x.reshape(-1, *taps.size, taps.channels):
            for r, s in np.ndindex(len(taps.down), len(taps.across)):
                reads = [(i, j) for i in taps.down[r] for j in taps.across[s]]
                found.append([[fill if i < 0 or j < 0 else picture[i, j, c] for i, j in reads] for c in range(taps.channels)])
    return np.array(found, values[0].dtype)


def cases(g: Builder) -> list[Taps]:
    x = g.input(2, 6, 5, 3)
    ops = [
        windowed(g, "CONV_2D", x, g.random(4, 3, 2, 3), "SAME", (2, 1)),
        windowed(g, "CONV_2D", x, g.random(4, 3, 2, 3), "VALID", (1, 2), (2, 1)),
        windowed(g, "DEPTHWISE_CONV_2D", x, g.random(1, 4, 4, 6), "SAME", (1, 1), (1, 1), 2),
        spreading(g, x, g.random(5, 3, 3, 3), "SAME", (2, 2), (12, 10)),
        spreading(g, x, g.random(5, 2, 2, 3), "VALID", (3, 2), (17, 10)),
        windowed(g, "CONV_2D", g.input(2, 1, 1, 3), g.random(4, 3, 3, 3), "SAME"),  # taps that read padding only
    ]
    g.dense(g.input(4, 3), 5)
    found = [ROWS[op.kind].taps(op) for op in (*ops, g.graph.ops[-1])]
    return [t for t in found if t is not None]


@pytest.mark.parametrize(("dtype", "fill"), [("float32", 0.0), ("int8", -7), ("int16", 0)])
@pytest.mark.parametrize("case", range(7))
def test_patches_and_means_of_taps(g: Builder, case: int, dtype: str, fill: float) -> None:
    taps = cases(g)[case]
    rng = np.random.default_rng(case)
    shape = (taps.batch, *taps.size, taps.channels)
    values = [(rng.normal(size=shape) * 40).clip(-128, 127).astype(dtype) for _ in range(3)]
    naive = patches(taps, values, fill)
    at = np.sort(rng.choice(3 * taps.places, 3 * taps.places // 2, replace=False))
    found = Patches(taps, at, fill)(values)
    assert found.dtype == np.dtype(dtype) and found.flags.c_contiguous
    np.testing.assert_array_equal(found, naive[at])
    means = (naive.astype(np.float64) - fill).reshape(3, taps.places, taps.channels, taps.window).mean(axis=1)
    np.testing.assert_allclose(TapMeans(taps, fill)(values), means.transpose(0, 2, 1), rtol=1e-6, atol=1e-9)


def test_means_of_large_codes_do_not_overflow(g: Builder) -> None:
    op = windowed(g, "CONV_2D", g.input(1, 64, 64, 1), g.random(1, 1, 1, 1), "SAME")
    taps = ROWS[op.kind].taps(op)
    assert taps is not None
    for dtype, most in (("int8", 127), ("int16", 32767)):
        means = TapMeans(taps, 0)([np.full((1, 64, 64, 1), most, dtype)])
        assert means.tolist() == [[[most]]]


def test_results_are_drawn_from_all_samples_in_order(g: Builder) -> None:
    op = windowed(g, "CONV_2D", g.input(2, 8, 8, 1), g.random(1, 1, 1, 1), "SAME")
    taps = ROWS[op.kind].taps(op)
    assert taps is not None
    assert drawn(taps, 3, 3 * 128, 0).tolist() == [*range(3 * 128)]
    some = drawn(taps, 30, 300, 0)
    assert len(some) == len({*some.tolist()}) == 300 and (np.diff(some) > 0).all()
    assert np.bincount(some // 128, minlength=30).min() > 0
    assert some.tolist() == drawn(taps, 30, 300, 0).tolist() != drawn(taps, 30, 300, 1).tolist()
