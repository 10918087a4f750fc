"""`mixed`: 16 bits where they are cheap, until what is wanted is reached; and what is said where it is not."""

import re

import numpy as np
import pytest
from conftest import quantized, run
from test_recipes import int16
from timings import settled

import fullint
from fullint.errors import AccuracyError, UsageError
from fullint.model.tflite import read_bytes
from fullint.ops.builder import Builder, samples_like
from fullint.ops.kernel_times import KERNEL_TIMES, kernel_us, model_us
from fullint.ops.make import make_op
from fullint.quantization import search


def classifier(g: Builder) -> None:
    """A layer that costs much in int16, and a tail that costs little."""
    x = g.conv(g.input(1, 16, 16, 8, name="picture"), 16, activation="RELU")
    y = g.op("MEAN", x, g.const(np.int32([1, 2])), shape=(1, 16), keep_dims=False, name="mean")
    g.output(g.op("SOFTMAX", g.dense(y, 24), beta=1.0, name="classes"))


def powers(g: Builder) -> None:
    """Squares at the end, whose int8 steps are too coarse for the small ones."""
    x = g.conv(g.conv(g.input(1, 24, 24, 16, name="picture"), 32), 32, stride=2)
    y = g.dense(g.op("MEAN", x, g.const(np.int32([1, 2])), shape=(1, 32), keep_dims=False), 24)
    g.output(g.op("MUL", y, y, name="square"))


def test_a_cheap_tail_gives_what_is_wanted(g: Builder) -> None:
    classifier(g)
    result = quantized(g, 40, mixed=3.0)
    mixed = result.report.mixed
    assert mixed.after_sqnr_db >= mixed.wanted_sqnr_db == pytest.approx(mixed.before_sqnr_db + 3, abs=0.02)
    assert "classes" in int16(read_bytes(result.model))
    assert result.report.float_operators == 0
    assert mixed.predicted_latency < 2
    assert mixed.measured_latency > 0.3
    assert all(s.kept for s in mixed.steps)
    assert mixed.steps[-1].sqnr_db - mixed.before_sqnr_db == pytest.approx(sum(s.gain_db for s in mixed.steps), abs=0.05)
    plain = quantized(g, 40).report.certificate.sqnr_db
    assert result.report.certificate.sqnr_db > plain + 2
    assert re.search(r"int16 +\d+\.\d -> \d+\.\d dB on \d+ samples; latency \d\.\d\d x by kernel times", str(result.report))


def test_nothing_is_chosen_where_nothing_is_wanting(g: Builder) -> None:
    classifier(g)
    result = quantized(g, 40, mixed=0.0)
    assert result.report.mixed.chosen == ()
    assert result.model == quantized(g, 40).model


def test_what_cannot_be_reached_is_said_with_its_price(g: Builder) -> None:
    """Most noise is that of the convolution, whose int16 kernel takes many times as long."""
    x = g.conv(g.input(1, 16, 16, 16, name="picture"), 16)
    g.output(g.conv(x, 8))
    result = quantized(g, 24, mixed=20.0)
    mixed = result.report.mixed
    assert mixed.chosen == ()
    assert mixed.predicted_latency == 1
    assert [s.kept for s in mixed.steps] == [False] * len(mixed.steps) != []
    assert mixed.steps[-1].latency > 10
    said = next(w for w in result.report.document().blocks if getattr(w, "level", "") == "warning" and "mixed:" in w.text).text
    assert re.search(r"with --int16 [\d,]+ it (has|still has only) \d+\.\d dB, at \d+\.\d times the latency", said)


def test_until_as_many_answers_are_right(g: Builder) -> None:
    """Labels are the float model's own answers; channels of the logits so close that 8 bits confuse some."""
    x = g.conv(g.input(1, 16, 16, 8, name="picture"), 16, activation="RELU")
    y = g.op("MEAN", x, g.const(np.int32([1, 2])), shape=(1, 16), keep_dims=False, name="mean")
    alike = np.repeat(g.rng.normal(size=(1, 16)), 24, axis=0) + 0.03 * g.rng.normal(size=(24, 16))
    scores = g.dense(y, 24, weights=g.const(alike.astype(np.float32)), bias=False)
    g.output(g.op("MUL", scores, g.op("LOGISTIC", scores), name="classes"))
    samples = samples_like(g.model(), 120)
    pictures = np.concatenate([s["picture"] for s in samples])
    labels = [int(run(g.model(), [p[None]])[0].argmax()) for p in pictures]
    plain = fullint.quantize(g.bytes(), samples, labels=labels, min_sqnr=-100.0)
    assert plain.report.certificate.accuracy.after < 1
    result = fullint.quantize(g.bytes(), samples, labels=labels, mixed="accuracy", min_sqnr=-100.0)
    mixed = result.report.mixed
    assert mixed.wanted_sqnr_db is None
    assert mixed.accuracy.before == 1
    assert mixed.reached == (mixed.accuracy.after == 1)
    assert mixed.chosen
    assert result.report.certificate.accuracy.after >= plain.report.certificate.accuracy.after
    assert result.report.certificate.sqnr_db > plain.report.certificate.sqnr_db + 0.5
    with pytest.raises(UsageError, match="mixed: accuracy is judged by labels"):
        fullint.quantize(g.bytes(), samples, mixed="accuracy")


def test_a_search_keeps_the_choice(g: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever `effort best` keeps: the report has what was chosen, and its recipe."""
    classifier(g)
    monkeypatch.setattr(search, "_gain", lambda old, new, which: (1.0, new is not None))
    report = quantized(g, 60, mixed=3.0, effort="best").report
    assert any(t.kept for t in report.trials)
    assert report.mixed.chosen
    assert report.recipe["rules"] == [{"match": list(report.mixed.chosen), "int16": True}]


def test_ranges_made_for_8_bits_stay_in_8_bits(g: Builder) -> None:
    classifier(g)
    result = quantized(g, 40, mixed=3.0, ranges="CONV_2D=mse,FULLY_CONNECTED=mse")
    assert "fully_connected" not in int16(read_bytes(result.model))
    again = fullint.quantize(g.bytes(), samples_like(g.model(), 40), recipe=result.report.recipe)
    assert again.model == result.model


def test_bytes_do_not_depend_on_threads_or_clock(g: Builder) -> None:
    classifier(g)
    samples = samples_like(g.model(), 40)
    found = {fullint.quantize(g.bytes(), samples, mixed=3.0, threads=n).model for n in (1, 2, 2)}
    assert len(found) == 1


def test_a_result_below_the_bar_says_what_mixed_would_reach(g: Builder) -> None:
    powers(g)
    bar = quantized(g, 40).report.certificate.sqnr_db + 1
    with pytest.raises(AccuracyError, match=r"--mixed would reach (\d+\.\d) dB .* times the latency: operators \d"):
        quantized(g, 40, min_sqnr=bar)
    reached = quantized(g, 40, min_sqnr=bar, mixed=0.0)
    assert reached.report.certificate.sqnr_db >= bar


def test_what_mixed_is_not_for(g: Builder) -> None:
    classifier(g)
    samples = samples_like(g.model(), 40)
    with pytest.raises(UsageError, match="edgetpu does not run operators in int16"):
        fullint.quantize(g.bytes(), samples, mixed=1.0, target="edgetpu")
    with pytest.raises(UsageError, match="leave activations at int8"):
        fullint.quantize(g.bytes(), samples, mixed=1.0, activations="int16")
    with pytest.raises(UsageError, match="mixed: 8 samples would have to judge, but there are 6"):
        fullint.quantize(g.bytes(), samples[:6], mixed=1.0)
    for wrong in (-1.0, True, "three", 101, float("nan")):
        with pytest.raises(UsageError, match="mixed must be a number of dB"):
            fullint.quantize(g.bytes(), samples, mixed=wrong)


def test_other_targets_have_other_prices(g: Builder) -> None:
    """Where 16 bits take twice as long everywhere, a convolution is no dearer than others."""
    x = g.conv(g.input(1, 16, 16, 16, name="picture"), 16)
    g.output(g.conv(x, 8))
    mixed = quantized(g, 24, mixed=6.0, target="ethos-u").report.mixed
    assert mixed.chosen
    assert mixed.predicted_latency <= 2
    assert mixed.measured_latency is None


def test_kernel_times_grow_with_the_work() -> None:
    for kind in KERNEL_TIMES:
        for dtype in ("int8", "int16"):
            g = Builder()
            times = []
            for n in (8, 32):
                x = g.input(1, n, n, 16)
                w = g.random(16, 3, 3, 16)
                times.append(kernel_us(make_op(kind, [x, w], [x]), dtype))
            assert 0 < times[0] <= times[1], kind


@pytest.mark.alone
def test_predicted_latency_is_near_the_clock() -> None:
    """The ratio of an all-int8 network and one with an int16 tail, an int16 sum and an int16 layer."""
    g = Builder()
    x = g.conv(g.input(1, 24, 24, 16, name="picture"), 32, activation="RELU")
    for _ in range(3):
        x = g.op("ADD", x, g.conv(x, 32, activation="RELU"), name="sum")
    y = g.op("MEAN", x, g.const(np.int32([1, 2])), shape=(1, 32), keep_dims=False, name="mean")
    g.output(g.op("SOFTMAX", g.dense(y, 10), beta=1.0, name="classes"))
    samples = samples_like(g.model(), 16)
    plain = fullint.quantize(g.bytes(), samples, min_sqnr=-100.0).model
    for wide in ("SOFTMAX,FULLY_CONNECTED", "MEAN,FULLY_CONNECTED,SOFTMAX", "ADD"):
        other = fullint.quantize(g.bytes(), samples, int16=wide, min_sqnr=-100.0).model
        predicted = model_us(read_bytes(other)) / model_us(read_bytes(plain))

        def times(other: bytes = other) -> tuple[float, float]:
            t = fullint.benchmark(other, plain, num_runs=200, min_secs=0.5, enable_op_profiling=False).timings
            return min(t[0].series), min(t[1].series)

        settled(times, predicted / 1.5, predicted * 1.5)
