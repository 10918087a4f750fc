"""TensorFlow's own operators, written with builtins: the same numbers."""

import math

import numpy as np
import pytest
from conftest import kinds, quantized, run
from flatbuffers import flexbuffers

from fullint.auditing.audit import audit
from fullint.errors import NotIntegerError
from fullint.ops.builder import Builder
from fullint.passes.custom_ops import without_custom
from fullint.passes.tensorflow_ops import FROM_TENSORFLOW, UNARY, node_attributes

X = np.linspace(-3, 3, 601)
INSIDE = np.linspace(-0.995, 0.995, 601)
KNOWN = {
    "Acos": (np.arccos, INSIDE),
    "Acosh": (np.arccosh, X + 4.1),
    "Asin": (np.arcsin, INSIDE),
    "Asinh": (np.arcsinh, X),
    "Atan": (np.arctan, X),
    "Atanh": (np.arctanh, INSIDE),
    "Cosh": (np.cosh, X),
    "Erf": (np.vectorize(math.erf), X),
    "Erfc": (np.vectorize(math.erfc), X),
    "Erfinv": (None, np.vectorize(math.erf)(np.linspace(-2, 2, 601))),
    "Expm1": (np.expm1, X),
    "Log1p": (np.log1p, X + 3.5),
    "Ndtri": (None, np.vectorize(lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))))(np.linspace(-2, 2, 601))),
    "Sinh": (np.sinh, X),
    "Tan": (np.tan, np.linspace(-1.3, 1.3, 601)),
}
"""Each function and where to look; None: the inverse of what made the inputs, linspace(-2, 2)."""


def custom(g: Builder, name: str, *inputs: object, shape: tuple[int, ...], options: bytes | None = None) -> object:
    out = g.op("CUSTOM", *inputs, shape=shape)
    g.graph.ops[-1].custom_code = name
    g.graph.ops[-1].custom_options = None if options is None else np.frombuffer(options, np.uint8)
    return out


def test_every_function_has_a_known_value() -> None:
    assert set(KNOWN) == set(UNARY)


@pytest.mark.parametrize("prefix", ["Flex", ""])
@pytest.mark.parametrize("name", sorted(UNARY))
def test_functions_of_one_number(name: str, prefix: str) -> None:
    function, values = KNOWN[name]
    g = Builder()
    g.output(custom(g, prefix + name, g.input(1, values.size), shape=(1, values.size)))
    model = g.model()
    assert all(c.done for c in without_custom(model))
    assert "CUSTOM" not in {op.kind for op in model.main.ops}
    found = run(model, [values.reshape(1, -1).astype(np.float32)], "builtin")[0].reshape(-1)
    expected = np.linspace(-2, 2, 601) if function is None else function(values.astype(np.float32).astype(np.float64))
    assert np.abs(found - expected).max() < 3e-4 * max(1.0, float(np.abs(expected).max()))


def test_they_end_as_one_look_up() -> None:
    g = Builder(seed=4)
    y = g.dense(g.input(1, 16), 32)
    g.output(custom(g, "FlexErf", y, shape=(1, 32)))
    result = quantized(g, 40)
    assert kinds(result.model) == ["FULLY_CONNECTED", "CAST", "ADD", "GATHER"]
    assert result.report.certificate.sqnr_db > 30


def message(number: int, data: bytes) -> bytes:
    """A field of a protocol buffer message that holds bytes."""
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def node(name: str, attributes: dict[str, list[int] | bytes]) -> bytes:
    """The options of a Flex operator: [name, NodeDef]."""
    body = message(2, name.encode())
    for key, value in attributes.items():
        written = message(2, value) if isinstance(value, bytes) else message(1, message(3, bytes(value)))
        body += message(5, message(1, key.encode()) + message(2, written))
    made = flexbuffers.Builder()
    with made.Vector():
        made.String(name)
        made.String(body.decode("latin1"))
    return bytes(made.Finish())


def pooled(x: np.ndarray, size: list[int], stride: list[int], padding: str, mean: bool) -> np.ndarray:
    """Pooling over D, H, W in NumPy, what is padded left out."""
    n, *lengths, c = x.shape
    if padding == "SAME":
        outs = [-(-k // s) for k, s in zip(lengths, stride, strict=True)]
        befores = [max((o - 1) * s + f - k, 0) // 2 for o, s, f, k in zip(outs, stride, size, lengths, strict=True)]
    else:
        outs, befores = [-(-(k - f + 1) // s) for k, f, s in zip(lengths, size, stride, strict=True)], [0, 0, 0]
    out = np.zeros((n, *outs, c))
    for at in np.ndindex(*outs):
        cut = tuple(slice(max(a * s - b, 0), a * s - b + f) for a, s, b, f in zip(at, stride, befores, size, strict=True))
        window = x[(slice(None), *cut)]
        out[(slice(None), *at)] = window.mean((1, 2, 3)) if mean else window.max((1, 2, 3))
    return out


@pytest.mark.parametrize("name", ["AvgPool3D", "MaxPool3D"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("size", "stride"), [([2, 2, 2], [2, 2, 2]), ([3, 2, 3], [1, 2, 2]), ([1, 3, 2], [1, 1, 3])])
def test_pooling_of_volumes(name: str, padding: str, size: list[int], stride: list[int]) -> None:
    x = np.random.default_rng(0).normal(size=(1, 5, 6, 7, 2)).astype(np.float32)
    expected = pooled(x, size, stride, padding, name == "AvgPool3D")
    said = {"ksize": [1, *size, 1], "strides": [1, *stride, 1], "padding": padding.encode(), "data_format": b"NDHWC"}
    g = Builder()
    g.output(custom(g, f"Flex{name}", g.input(*x.shape), shape=expected.shape, options=node(name, said)))
    model = g.model()
    assert node_attributes(model.main.ops[0]) == said
    without_custom(model)
    found = run(model, [x])[0]
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=1e-5)
    assert quantized(g).report.float_operators == 0


@pytest.mark.parametrize("options", [None, b"", b"\x00\x01\x02", node("AvgPool3D", {})])
def test_damaged_options_are_refused_by_name(options: bytes | None) -> None:
    g = Builder()
    g.output(custom(g, "FlexAvgPool3D", g.input(1, 4, 4, 4, 1), shape=(1, 2, 2, 2, 1), options=options))
    with pytest.raises(NotIntegerError, match="FlexAvgPool3D") as e:
        quantized(g)
    assert "Flex" in e.value.blockers[0].cause


def test_others_are_named_and_the_audit_tells_which_are_written() -> None:
    g = Builder()
    x = g.dense(g.input(1, 16), 16)
    g.output(custom(g, "FlexErf", custom(g, "FlexMatrixInverse", x, shape=(1, 16)), shape=(1, 16)))
    with pytest.raises(NotIntegerError, match="FlexMatrixInverse") as e:
        quantized(g)
    assert [b.kind for b in e.value.blockers] == ["FlexMatrixInverse"]
    fixes = {f.evidence["code"]: f.fix for f in audit(g.bytes()).findings if f.rule == "custom-operator"}
    assert "fullint quantize rewrites it" in fixes["FlexErf"]
    assert "fullint quantize" not in fixes["FlexMatrixInverse"]
    assert "Erf" in FROM_TENSORFLOW and "MatrixInverse" not in FROM_TENSORFLOW
