"""What the table says of operators' functions, proved by running them."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import run
from op_examples import EXAMPLES

from fullint.model.ir import Model, constant
from fullint.model.ranges import Range
from fullint.ops import KERNEL_SETS, ROWS, traits_of
from fullint.ops.builder import Builder
from fullint.ops.make import CLAMPS
from fullint.ops.traits import TRAITS

FLOAT_ONLY: dict[str, tuple[float, float]] = {
    "FLOOR": (-4, 4),
    "CEIL": (-4, 4),
    "ROUND": (-4, 4),
    "SIN": (-3, 3),
    "COS": (-3, 3),
    "SIGN": (-2, 2),
    "NEG": (-3, 3),
    "SQUARE": (-3, 3),
}
"""Functions of one tensor without a row, with the range they are tried on."""
PAIRS = {"ATAN2": (0.5, 3.0), "POW": (0.5, 2.0), "FLOOR_DIV": (1.0, 4.0), "FLOOR_MOD": (1.0, 4.0), "ADD_N": (-2.0, 2.0)}
NOT_RUN = {"BUCKETIZE", "LOGICAL_NOT", "LOGICAL_AND", "LOGICAL_OR", "QUANTIZE", "CAST"}
"""Of integers, or proved elsewhere: not run here."""


def example(kind: str) -> tuple[Model, list[np.ndarray]]:
    """One operator in float, with its inputs."""
    g = Builder()
    if kind in FLOAT_ONLY:
        x = np.random.default_rng(0).uniform(*FLOAT_ONLY[kind], (1, 64)).astype(np.float32)
        g.output(g.op(kind, g.input(1, 64)))
        return g.model(), [x]
    if kind in PAIRS:
        values = [np.random.default_rng(i).uniform(*PAIRS[kind], (1, 64)).astype(np.float32) for i in range(2)]
        g.output(g.op(kind, g.input(1, 64), g.input(1, 64), shape=(1, 64)))
        return g.model(), values
    values = EXAMPLES[kind](g)
    return g.model(), values


def kinds(said: Callable[[object], bool]) -> list[str]:
    return sorted(
        k for k, t in TRAITS.items() if said(t) and k not in NOT_RUN and (k in EXAMPLES or k in FLOAT_ONLY or k in PAIRS)
    )


def outputs(model: Model, values: list[np.ndarray]) -> np.ndarray:
    return np.asarray(run(model, values, "builtin")[0])


def floats(model: Model, values: list[np.ndarray]) -> list[int]:
    """Positions of float inputs."""
    return [i for i, t in enumerate(model.main.inputs) if t.dtype == "float32"]


def test_every_kind_with_traits_is_tried() -> None:
    """No property is said of a function that no test runs."""
    proved = ("element_wise", "moves", "averages", "monotone", "not_negative", "homogeneous")
    said = {k for k, t in TRAITS.items() if any(getattr(t, name) for name in proved)}
    assert said <= set(EXAMPLES) | set(FLOAT_ONLY) | set(PAIRS) | NOT_RUN, said - set(EXAMPLES)


@pytest.mark.parametrize("kind", kinds(lambda t: t.element_wise))
def test_element_wise(kind: str) -> None:
    """Elements put in another order come out in that order."""
    model, values = example(kind)
    shapes = {v.shape for v in values}
    if len(shapes) > 1:
        pytest.skip("operands are broadcast")
    order = np.random.default_rng(3).permutation(values[0].size)
    mixed = [v.reshape(-1)[order].reshape(v.shape) for v in values]
    constants = [t for op in model.main.ops for t in op.inputs if t is not None and t.is_constant and t.size > 1]
    if constants:
        pytest.skip("a constant differs from place to place")
    before, after = outputs(model, values), outputs(model, mixed)
    np.testing.assert_allclose(after.reshape(-1), before.reshape(-1)[order], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", kinds(lambda t: t.unary))
def test_unary(kind: str) -> None:
    model, _ = example(kind)
    op = next(op for op in model.main.ops if op.kind == kind)
    assert sum(t is not None and not t.is_constant for t in op.inputs) == 1


@pytest.mark.parametrize("kind", kinds(lambda t: t.not_negative))
def test_not_negative(kind: str) -> None:
    model, values = example(kind)
    with np.errstate(invalid="ignore"):
        assert not (outputs(model, values) < 0).any()


@pytest.mark.parametrize("kind", kinds(lambda t: t.moves))
def test_moved_values_are_those_of_the_input(kind: str) -> None:
    model, values = example(kind)
    known = np.concatenate([v.reshape(-1) for v in values] + [np.zeros(1, np.float32)])
    assert np.isin(outputs(model, values), known).all()


@pytest.mark.parametrize("kernels", KERNEL_SETS)
@pytest.mark.parametrize("kind", [k for k, row in ROWS.items() if row.int32 and k in EXAMPLES])
def test_int32_values_are_treated_as_float_ones(kind: str, kernels: str) -> None:
    """The op table's `int32`: the same whole numbers come out."""
    model, values = example(kind)
    values = [np.trunc(v * 100) if v.dtype == np.float32 else v for v in values]
    constants = {
        (op, i): np.trunc(t.array * 100)
        for op in model.main.ops
        for i, t in enumerate(op.inputs)
        if t is not None and t.buffer is not None and t.is_float
    }
    found = []
    for dtype in ("float32", "int32"):
        for t in (*model.main.inputs, *(t for op in model.main.ops for t in op.outputs)):
            t.dtype = dtype if t.dtype == "float32" else t.dtype
        for (op, i), value in constants.items():
            op.inputs[i] = constant("c", value.astype(dtype))
        model.main.sync_tensors()
        found.append(run(model, [v.astype(dtype) if v.dtype == np.float32 else v for v in values], kernels))
    for a, b in zip(*found, strict=True):
        assert (a == b).all()


@pytest.mark.parametrize("kind", kinds(lambda t: t.averages))
def test_averages_lie_between(kind: str) -> None:
    model, values = example(kind)
    found = outputs(model, values)
    assert found.min() >= values[0].min() - 1e-5
    assert found.max() <= values[0].max() + 1e-5
    flat = outputs(model, [np.full_like(values[0], 1.5), *values[1:]])
    np.testing.assert_allclose(flat, 1.5, rtol=1e-5)


@pytest.mark.parametrize("kind", kinds(lambda t: t.monotone))
def test_monotone(kind: str) -> None:
    """Larger operands never give smaller results."""
    model, values = example(kind)
    positions = floats(model, values)
    more = [
        v + np.abs(np.random.default_rng(i).normal(size=v.shape)).astype(np.float32) if i in positions else v
        for i, v in enumerate(values)
    ]
    with np.errstate(invalid="ignore"):
        before, after = outputs(model, values), outputs(model, more)
        assert not (after < before - 1e-4 * np.maximum(1, np.abs(before))).any()


@pytest.mark.parametrize("kind", kinds(lambda t: t.homogeneous))
def test_homogeneous(kind: str) -> None:
    model, values = example(kind)
    before = outputs(model, values)
    after = outputs(model, [values[0] * np.float32(2.5), *values[1:]])
    np.testing.assert_allclose(after, before * 2.5, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", kinds(lambda t: t.keeps_channels is not None and t.homogeneous))
def test_channels_are_kept_apart(kind: str) -> None:
    """Channels that are rescaled by factors of their own come out rescaled by them."""
    model, values = example(kind)
    op = next(op for op in model.main.ops if op.kind == kind)
    assert traits_of(kind).keeps_channels is not None
    if not traits_of(kind).keeps_channels(op):
        pytest.skip("not this one")
    channels = values[0].shape[-1]
    factors = np.random.default_rng(1).uniform(0.2, 3, channels).astype(np.float32)
    before, after = outputs(model, values), outputs(model, [values[0] * factors, *values[1:]])
    np.testing.assert_allclose(after, before * np.tile(factors, before.shape[-1] // channels), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", kinds(lambda t: t.adds is not None or t.multiplies or t.bound is not None))
def test_sums_products_and_their_bounds(kind: str) -> None:
    model, values = example(kind)
    a, b = values
    found, traits = outputs(model, values), traits_of(kind)
    low, high = CLAMPS.get(model.main.ops[0].options.get("fused_activation_function", 0), (-np.inf, np.inf))
    if traits.adds is not None:
        np.testing.assert_allclose(found, np.clip(traits.adds[0] * a + traits.adds[1] * b, low, high), rtol=1e-5, atol=1e-5)
    if traits.multiplies:
        np.testing.assert_allclose(found, np.clip(a * b, low, high), rtol=1e-5, atol=1e-5)
    if traits.bound is not None:
        b = np.abs(b) + 0.25 if kind == "DIV" else b
        found = outputs(model, [a, b])
        span = traits.bound(Range.of(a), Range.of(b), False)
        assert span is not None
        assert span.low - 1e-4 <= found.min()
        assert found.max() <= span.high + 1e-4


def test_traits_are_a_column_of_the_table() -> None:
    assert all(row.traits is traits_of(kind) for kind, row in ROWS.items())


@pytest.mark.parametrize("kind", kinds(lambda t: bool(t.absent)))
def test_absent_kernels_are_absent(kind: str) -> None:
    from fullint.errors import RuntimeFailure

    model, values = example(kind)
    for kernels in traits_of(kind).absent:
        with pytest.raises(RuntimeFailure):
            run(model, values, kernels)
