"""What a target has no kernel for, written with what it has: the same function, and the target's own software takes it."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import kinds, run

import fullint
from fullint.delegates.targets import delegate_targets
from fullint.model.ir import Tensor
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder
from fullint.passes.engine import sweep
from fullint.passes.target_forms import forms_without

BOTH = frozenset({"int8", "int16"})


def const(g: Builder, *numbers: int) -> Tensor:
    return g.const(np.int32(numbers))


def gather(*places: int) -> Callable[[Builder, Tensor], Tensor]:
    return lambda g, x: g.op("GATHER", x, const(g, *places), shape=(1, 4, len(places), 8), axis=2)


WRITTEN: dict[str, Callable[[Builder, Tensor], Tensor]] = {
    "SQUEEZE": lambda g, x: g.op("SQUEEZE", x, shape=(4, 6, 8), squeeze_dims=[0]),
    "SPLIT_V": lambda g, x: g.op(
        "CONCATENATION",
        *g.op("SPLIT_V", x, const(g, 4, 4), g.const(np.int32(-1)), outputs=2, shape=(1, 4, 6, 4), num_splits=2)[::-1],
        axis=3,
        shape=(1, 4, 6, 8),
    ),
    "GATHER": gather(4, 5, 1, 2, 3, 0),
    "GATHER of one": lambda g, x: g.op("GATHER", x, g.const(np.int32(3)), shape=(1, 4, 8), axis=2),
    "TILE": lambda g, x: g.op("TILE", x, const(g, 1, 2, 1, 3), shape=(1, 8, 6, 24)),
    "DEPTH_TO_SPACE": lambda g, x: g.op("DEPTH_TO_SPACE", x, shape=(1, 8, 12, 2), block_size=2),
    "SPACE_TO_DEPTH": lambda g, x: g.op("SPACE_TO_DEPTH", x, shape=(1, 2, 3, 32), block_size=2),
    "RELU6": lambda g, x: g.op("RELU6", g.op("MUL", x, g.const(np.float32(3)))),
    "HARD_SWISH": lambda g, x: g.op("HARD_SWISH", g.op("MUL", x, g.const(np.float32(4)))),
    "POW": lambda g, x: g.op("POW", x, g.const(np.float32(3))),
    "POW to four": lambda g, x: g.op("POW", x, g.const(np.float32(4))),
    "REDUCE_PROD": lambda g, x: g.op("REDUCE_PROD", x, const(g, 2), shape=(1, 4, 8)),
    "LOG_SOFTMAX": lambda g, x: g.op("LOG_SOFTMAX", x),
    "L2_NORMALIZATION": lambda g, x: g.op("L2_NORMALIZATION", x),
    "MEAN over depth": lambda g, x: g.op("MEAN", x, const(g, -1), shape=(1, 4, 6, 1), keep_dims=True),
}


def network(name: str) -> Builder:
    g = Builder()
    x = g.op("TANH", g.conv(g.input(1, 4, 6, 8), filters=8))
    y = WRITTEN[name](g, x)
    g.output(g.op("MUL", y, g.const(np.float32(0.7))))
    return g


def floats(*shape: int, count: int = 24) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.uniform(-2.0, 2.0, shape).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_form_computes_the_same(name: str) -> None:
    form = name if name == "MEAN over depth" else name.partition(" ")[0]
    model = network(name).model()
    (x,) = floats(1, 4, 6, 8, count=1)
    expected = run(model, [x])
    for rule in forms_without({form: BOTH}, "int8"):
        sweep(model, rule)
    model.main.sync_tensors()
    kind = form.partition(" ")[0]
    assert kind == "MEAN" or kind not in [op.kind for op in model.main.ops]
    for a, b in zip(expected, run(model, [x]), strict=True):
        assert a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["GATHER of many", "GATHER out of range"])
def test_what_cannot_be_written_stays(name: str) -> None:
    g = Builder()
    places = np.int32([0, 2] * 20) if name == "GATHER of many" else np.int32([-1])
    g.output(g.op("GATHER", g.input(1, 4, 6, 8), g.const(places), shape=(1, 4, places.size, 8), axis=2))
    model = g.model()
    for rule in forms_without({"GATHER": BOTH}, "int8"):
        sweep(model, rule)
    assert [op.kind for op in model.main.ops] == ["GATHER"]


TAKEN = [
    (target, name, dtype)
    for target, known in delegate_targets().items()
    if known.software is not None
    for name in WRITTEN
    for dtype in ("int8", "int16")
    if dtype in known.lacks.get(name.partition(" ")[0], ()) or dtype in known.lacks.get(name, ())
]


@pytest.mark.parametrize(("target", "name", "dtype"), TAKEN)
def test_the_target_takes_the_form(target: str, name: str, dtype: str) -> None:
    """None of its operators is left, and the accuracy stays within 3 dB of what LiteRT's own operators reach."""
    known = delegate_targets()[target]
    if not known.software.installed():
        pytest.skip(f"needs {known.software.package}")
    data, samples = network(name).bytes(), floats(1, 4, 6, 8)
    made = fullint.quantize(data, samples, target=target, activations=dtype, min_sqnr=0)
    left = {op.kind: why for op, why in known.answer(read_bytes(made.model), "").reasons.items() if why}
    assert not left
    plain = fullint.quantize(data, samples, activations=dtype, min_sqnr=0)
    assert made.report.certificate.sqnr_db > plain.report.certificate.sqnr_db - 3
    assert not [w for w in made.report.warnings if target in w]


def indices(g: Builder) -> None:
    """The most likely class, as PyTorch gives it, and whether it is not the first."""
    x = g.dense(g.input(1, 16), 12)
    top = g.op("ARG_MAX", x, g.const(np.int32(-1)), shape=(1,), dtype="int64", output_type=4)
    row = g.op("RESHAPE", top, const(g, 1, 1), shape=(1, 1), dtype="int64")
    later = g.op("GREATER", row, g.const(np.int64([[0]])), shape=(1, 1))
    g.output(g.op("SELECT_V2", later, x, g.op("NEG", x)))


def test_indices_have_32_bits_where_the_target_has_no_wider_ones(g: Builder) -> None:
    if not delegate_targets()["tflm"].software.installed():
        pytest.skip("needs tflite-micro")
    indices(g)
    samples = floats(1, 16)
    made = fullint.quantize(g.bytes(), samples, target="tflm")
    main = read_bytes(made.model).main
    assert not [t.name for t in main.tensors if t.dtype == "int64"]
    (own,) = [s for s in made.report.certificate.kernel_sets if s.name == "tflm"]
    assert own.status == "ran" and own.disagreement_steps <= 2
    assert kinds(fullint.quantize(g.bytes(), samples).model).count("CAST") == 0


def test_a_choice_of_indices_is_added_where_the_target_cannot_choose(g: Builder) -> None:
    """How Keras looks embeddings up: a place below 0 counts from the end."""
    if not delegate_targets()["tflm"].software.installed():
        pytest.skip("needs tflite-micro")
    places = g.input(1, 6, dtype="int32")
    wrapped = g.op("ADD", places, g.const(np.int32(20)), dtype="int32")
    chosen = g.op("SELECT_V2", g.op("LESS", places, g.const(np.int32(0)), dtype="bool"), wrapped, places, dtype="int32")
    rows = g.op("GATHER", g.random(20, 8), chosen, shape=(1, 6, 8))
    g.output(g.dense(g.reshape(rows, 1, 48), 5))
    rng = np.random.default_rng(0)
    samples = [rng.integers(-20, 20, (1, 6)).astype(np.int32) for _ in range(40)]
    made = fullint.quantize(g.bytes(), samples, target="tflm")
    assert "SELECT_V2" not in kinds(made.model)
    (own,) = [s for s in made.report.certificate.kernel_sets if s.name == "tflm"]
    assert own.status == "ran" and own.disagreement_steps == 0
