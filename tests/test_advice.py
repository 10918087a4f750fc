"""What a refusal or a warning offers was tried, and helps: each option that it prints is followed here, to the dB it promised."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

import fullint
from fullint.errors import AccuracyError, NotIntegerError, SamplesError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.quantization import trial_costs

TRIED = re.compile(r"(without )?--([a-z0-9-]+)(?: ([^:;\n]+?))?: (all parts kept|-?[0-9.]+ dB)")


def offers(text: str) -> list[tuple[dict[str, object], float]]:
    """(options, dB promised) of what a text says was tried with success."""
    found: list[tuple[dict[str, object], float]] = []
    said = " ".join(line for line in text.splitlines() if "tried on" in line and "and no help" not in line)
    for without, name, value, figure in TRIED.findall(said):
        given: object = False if without else value or True
        found.append(({name.replace("-", "_"): given}, 200.0 if "all" in figure else float(figure.split()[0])))
    return found


def cancellation(g: Builder) -> None:
    """A small value as the difference of two large ones."""
    x = g.input(1, 8, 8, 3)
    large = g.op("MUL", g.conv(x, filters=4), g.const(100.0))
    g.output(g.reshape(g.op("SUB", g.op("ADD", large, g.conv(x, filters=4)), large), 1, -1))


def unequal_channels(g: Builder) -> None:
    """One scale for weights a thousand times apart: the large ones cancel, since they multiply the same value."""
    x = g.input(1, 8, 8, 3)
    w = 3 * g.rng.normal(size=(8, 1, 1, 6)).astype(np.float32)
    w[0] = np.float32([1000, 0, 0, -1000, 0, 8])
    y = g.conv(g.op("CONCATENATION", x, x, shape=(1, 8, 8, 6), axis=3), filters=8, weights=g.const(w))
    g.output(g.reshape(y, 1, -1))


def two_sizes(g: Builder) -> None:
    """Boxes in pixels beside scores."""
    x = g.input(1, 8, 8, 3)
    boxes = g.op("MUL", g.conv(x, filters=4), g.const(300.0))
    scores = g.op("LOGISTIC", g.conv(x, filters=2))
    g.output(g.op("CONCATENATION", boxes, scores, shape=(1, 8, 8, 6), axis=3))


def steep(g: Builder) -> None:
    """e^(4 y): most values are a step of 0 beside the largest."""
    g.output(g.op("EXP", g.op("MUL", g.dense(g.input(1, 16), 8), g.const(4.0))))


LOST: dict[str, tuple[Callable[[Builder], None], dict[str, object]]] = {
    "cancellation": (cancellation, {}),
    "per tensor": (unequal_channels, {"per_tensor": True, "min_sqnr": 30}),
    "two sizes": (two_sizes, {}),
    "steep": (steep, {}),
}


@pytest.mark.parametrize("name", LOST)
def test_what_a_refusal_offers_helps(name: str) -> None:
    """Each option it prints gives what it promised, within what other samples change, and all are better than nothing."""
    make, options = LOST[name]
    g = Builder()
    make(g)
    data = g.bytes()
    samples = samples_like(read_bytes(data), 60)
    with pytest.raises(AccuracyError) as caught:
        fullint.quantize(data, samples, **options)
    offered = offers(str(caught.value))
    assert offered, str(caught.value)
    for more, promised in offered:
        result = fullint.quantize(data, samples, **{**options, "min_sqnr": -100, **more})
        figures = [result.report.certificate.sqnr_db]
        figures += [p.spread_db for o in result.report.certificate.outputs for p in o.parts if '" is lost' in str(caught.value)]
        assert min(figures) > min(promised, 40) - 8, (more, promised, figures)  # the promise is of eight samples


def test_a_warning_offers_too() -> None:
    g = Builder()
    cancellation(g)
    data = g.bytes()
    samples = samples_like(read_bytes(data), 60)
    [warning] = [w for w in fullint.quantize(data, samples, min_sqnr=-100).report.warnings if "SQNR below" in w]
    assert "more samples" not in warning
    [(more, promised)] = offers(warning.replace("; tried", "\ntried"))
    assert more == {"activations": "int16"}
    assert fullint.quantize(data, samples, **more).report.certificate.sqnr_db > promised - 3


@pytest.mark.parametrize(("effort", "why"), [("fast", "with --effort fast"), ("balanced", "since it takes long")])
def test_what_there_is_no_time_for_is_named(effort: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of parts and of whole outputs, whatever the effort."""
    for name in ("FEW_SECONDS", "MORE_SECONDS", "MOST_SECONDS"):
        monkeypatch.setattr(trial_costs, name, 0.0)
    for make, options, left in (
        (two_sizes, {}, "--split-outputs; "),
        (cancellation, {"min_sqnr": 60}, "--int16 "),
        (cancellation, {"min_sqnr": -100}, "--mixed"),
    ):
        g = Builder()
        make(g)
        data = g.bytes()
        samples = samples_like(read_bytes(data), 60)
        try:
            said = "\n".join(fullint.quantize(data, samples, effort=effort, **options).report.warnings)
        except AccuracyError as e:
            said = str(e)
        [named] = re.findall(f"not tried {why}: (.*)", said)
        assert left in named
        assert "tried on" not in said


def test_time_for_some_ways_is_spent_on_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """About three trials: what the result has, what its weights allow, and the first way. The others are named."""
    g = Builder()
    cancellation(g)
    data = g.bytes()
    samples = samples_like(read_bytes(data), 60)

    def ways() -> tuple[set[str], set[str]]:
        with pytest.raises(AccuracyError) as caught:
            fullint.quantize(data, samples, min_sqnr=60)
        found = []
        for word in ("tried on", "not tried"):
            said = "; ".join(line.partition(": ")[2] for line in str(caught.value).splitlines() if word in line)
            found.append(set(re.findall(r"--(?!mixed)[a-z0-9-]+ [a-z0-9,]+", said)))
        return found[0], found[1]

    all_ways, none_left = ways()
    monkeypatch.setattr(trial_costs, "MOST_SECONDS", 3.5 * trial_costs.trial_seconds(read_bytes(data), 8))
    tried, left = ways()
    assert not none_left
    assert tried and left and tried | left >= all_ways


def test_parity_is_exact_without_being_asked_for() -> None:
    """(x G) mod 2: the sum has a step of one, and no number of samples would have helped."""
    g = Builder()
    ones = (g.rng.random((16, 64)) < 0.5).astype(np.float32)
    y = g.op("FULLY_CONNECTED", g.input(1, 64), g.const(ones), None, shape=(1, 16))
    g.output(g.op("FLOOR_MOD", y, g.const(2.0)))
    samples = (np.random.default_rng(0).random((60, 64)) < 0.5).astype(np.float32)
    report = fullint.quantize(g.bytes(), samples).report
    assert report.certificate.outputs[0].largest_error < 0.01
    assert (report.inputs[0].scale * 255) == pytest.approx(1)


def test_fractions_are_not_taken_for_whole_numbers() -> None:
    """One sample with a fraction, and the input keeps the finest step."""
    g = Builder()
    g.output(g.dense(g.input(1, 64), 8))
    samples = np.random.default_rng(0).integers(0, 200, (60, 64)).astype(np.float32)
    whole = fullint.quantize(g.bytes(), samples).report
    assert whole.inputs[0].scale == 1
    samples[7, 3] = 0.5
    assert fullint.quantize(g.bytes(), samples).report.inputs[0].scale == pytest.approx(samples.max() / 255, rel=1e-3)


def test_an_index_out_of_range_is_the_samples_fault() -> None:
    g = Builder()
    table = g.const(g.rng.normal(size=(10, 8)).astype(np.float32))
    words = g.op("GATHER", table, g.input(1, 4, dtype="int32", name="ids"), shape=(1, 4, 8), axis=0)
    g.output(g.dense(g.reshape(words, 1, 32), 3))
    ids = np.random.default_rng(0).integers(0, 10, (40, 1, 4)).astype(np.int32)
    fullint.quantize(g.bytes(), ids)
    many = np.random.default_rng(0).integers(0, 10, (400, 1, 4)).astype(np.int32)
    many[3, 0, 2] = 99
    with pytest.raises(SamplesError, match="sample 3: "):  # however many follow before it is noticed
        fullint.quantize(g.bytes(), many)
    for place in (3, 17, 39):
        bad = ids.copy()
        bad[place, 0, 2] = 99
        with pytest.raises(
            SamplesError, match=rf'sample {place}: .*not on this sample \(whole numbers: "ids" \d to 99\).*out of'
        ):
            fullint.quantize(g.bytes(), bad, threads=2)
        assert fullint.quantize(g.bytes(), np.delete(bad, place, axis=0)).report.float_operators == 0  # removed, as it says


def test_a_variable_that_nothing_gives_a_value_is_named() -> None:
    """Always, though what the runtime reads there differs from run to run."""
    for _ in range(3):
        g = Builder()
        x = g.input(1, 4)
        handle = g.op("VAR_HANDLE", shape=(), dtype="resource", shared_name=b"dense/bias", container=b"")
        g.output(g.op("ADD", x, g.op("READ_VARIABLE", handle, shape=(1, 4)), name="y"))
        with pytest.raises(NotIntegerError, match='nothing in the model gives the variable "dense/bias" a value') as caught:
            fullint.quantize(g.bytes(), np.ones((20, 4), np.float32))
        assert [b.kind for b in caught.value.blockers] == ["READ_VARIABLE"]


# --- operators that cannot be integer ---


def reversed_sequence(g: Builder) -> None:
    g.output(g.op("REVERSE_SEQUENCE", g.op("RELU", g.input(1, 8)), g.const(np.int32([5])), shape=(1, 8), seq_dim=1))


def slopes_from_outside(g: Builder) -> None:
    g.output(g.op("POW", g.op("ABS", g.input(1, 8)), g.op("ABS", g.input(1, 8))))


def scatter_outside(g: Builder) -> None:
    ids = g.input(2, 1, dtype="int32")
    g.output(g.op("SCATTER_ND", ids, g.op("RELU", g.input(2, 3)), g.const(np.int32([4, 3])), shape=(4, 3), dtype="float32"))


BLOCKED = (reversed_sequence, slopes_from_outside, scatter_outside)
"""Networks with an operator that has no integer form."""


@pytest.mark.parametrize("make", BLOCKED)
def test_keeping_what_a_refusal_names_in_float_works(make: Callable[[Builder], None]) -> None:
    g = Builder()
    make(g)
    data = g.bytes()
    samples = samples_like(read_bytes(data), 30)
    with pytest.raises(NotIntegerError) as caught:
        fullint.quantize(data, samples)
    named = re.findall(r"--keep-float (\S+)", str(caught.value))
    assert len(named) == len(caught.value.blockers) == 1
    result = fullint.quantize(data, samples, keep_float=named)
    [kept] = result.report.certificate.except_for
    assert kept.startswith(f"op {caught.value.blockers[0].index} {caught.value.blockers[0].kind}")


def test_a_finite_constant_instead_of_an_infinite_one_works() -> None:
    """ "replace these values with large finite numbers"."""
    for value, refused in ((np.inf, True), (1e6, False)):
        g = Builder()
        g.output(g.op("MINIMUM", g.input(1, 4), g.const(np.float32([1, 2, value, 4]))))
        if refused:
            with pytest.raises(NotIntegerError, match="replace these values with large finite numbers"):
                fullint.quantize(g.bytes(), samples_like(read_bytes(g.bytes()), 30))
        else:
            assert fullint.quantize(g.bytes(), samples_like(read_bytes(g.bytes()), 30)).report.certificate.sqnr_db > 25


def test_another_operator_than_one_without_an_int16_kernel_works() -> None:
    """ "name other operators, or keep it in float: --keep-float"."""
    g = Builder()
    x = g.conv(g.input(1, 4, 4, 2), filters=4)
    g.output(g.op("SPACE_TO_DEPTH", x, shape=(1, 2, 2, 16), block_size=2, name="total"))
    samples = samples_like(read_bytes(g.bytes()), 30)
    with pytest.raises(NotIntegerError, match="name other operators"):
        fullint.quantize(g.bytes(), samples, int16="total")
    assert fullint.quantize(g.bytes(), samples, int16="CONV_2D").report.float_operators == 0
    assert fullint.quantize(g.bytes(), samples, int16="CONV_2D", keep_float="total").report.kept_float


def test_values_that_no_multiplier_holds_are_rescaled() -> None:
    """ "rescale its inputs and weights in the float model"."""
    for size, refused in ((1e-38, True), (1.0, False)):
        g = Builder()
        w = g.const((size * g.rng.normal(size=(4, 16))).astype(np.float32))
        g.output(g.op("TANH", g.op("FULLY_CONNECTED", g.input(1, 16), w, None, shape=(1, 4))))
        samples = [[np.float32(1e-3 if refused else 1) * s["input"]] for s in samples_like(read_bytes(g.bytes()), 30)]
        if refused:
            with pytest.raises(NotIntegerError, match="rescale its inputs and weights in the float model"):
                fullint.quantize(g.bytes(), samples)
        else:
            assert fullint.quantize(g.bytes(), samples).report.certificate.sqnr_db > 20


def test_a_variable_as_a_constant_works() -> None:
    """ "as constants": what a frozen graph has."""
    g = Builder()
    g.output(g.op("ADD", g.input(1, 4), g.const(np.float32([[1, 2, 3, 4]])), name="y"))
    assert fullint.quantize(g.bytes(), samples_like(read_bytes(g.bytes()), 30)).report.float_operators == 0
