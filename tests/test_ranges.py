"""Ranges that leave values out: each method against NumPy, shards in any order, who gets which, and what it gave."""

import itertools
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from measuring import loop

import fullint
from fullint.calibration.clipping import CLIPPING, METHODS, Clipping, Entropy, MeanSquare, Percentile
from fullint.calibration.histograms import Histogram
from fullint.calibration.statistics import Narrowed
from fullint.cli import main
from fullint.errors import AccuracyError, UsageError
from fullint.model.ir import Tensor
from fullint.model.ranges import Range
from fullint.model.tflite import read_bytes, write_model
from fullint.ops.builder import Builder
from fullint.options.of_ranges import RANGE_METHODS, RangeChoice, parse_ranges

BIN = 1 / 128
"""Largest width of a bin, as a share of its values."""


def heavy(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_t(3, 200_000)


DRAWN: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal": lambda rng: rng.normal(size=200_000),
    "laplace": lambda rng: rng.laplace(size=200_000) * 1e-4,
    "heavy": heavy,
    "behind a RELU": lambda rng: np.maximum(rng.laplace(size=200_000), 0),
    "shifted": lambda rng: rng.normal(size=200_000) * 0.5 + 1,
    "negative": lambda rng: -rng.exponential(size=200_000) * 1e6,
    "far outlier": lambda rng: np.append(rng.normal(size=200_000), 20_000),
}


@pytest.fixture(params=DRAWN)
def values(request: pytest.FixtureRequest) -> np.ndarray:
    return DRAWN[request.param](np.random.default_rng(3)).astype(np.float32)


def seen(method: Clipping, *samples: np.ndarray) -> Clipping:
    for s in samples:
        method.accumulate(s)
    return method


def test_options_and_files_know_the_same_methods() -> None:
    assert {*METHODS} == {*RANGE_METHODS} and {*CLIPPING} == {*RANGE_METHODS} - {"minmax"}


@pytest.mark.parametrize("percent", [90, 99, 99.9, 99.99, 100])
def test_percentiles_are_those_of_numpy(values: np.ndarray, percent: float) -> None:
    """Not cut farther in than NumPy's, and at most a bin farther out."""
    method = seen(Percentile.chosen(percent, 8), *np.array_split(values, 5))
    low, high = method.finish(values.size)
    expected = np.percentile(values.astype(np.float64), [100 - percent, percent], method="nearest")
    for found, end in ((-low, max(-expected[0], 0)), (high, max(expected[1], 0))):
        assert end * (1 - 1e-6) <= found <= end * (1 + BIN) + 1e-9
    outside = float(((values < low) | (values > high)).mean())
    assert outside <= 2 * (100 - percent) / 100 + 1e-9
    assert method.outside(Range(low, high)) == pytest.approx(outside, abs=1e-5)


def error_of(values: np.ndarray, low: float, high: float) -> float:
    """The mean squared error of int8 codes, zeros as they are."""
    step = (high - low) / 255
    zero = np.round(-128 - low / step)
    codes = np.clip(np.round(values / step) + zero, -128, 127)
    return float(np.square((codes - zero) * step - values).mean())


def test_mse_is_as_good_as_the_best_of_all_ends(values: np.ndarray) -> None:
    x = values[-20_000:].astype(np.float64)
    low, high = seen(MeanSquare.chosen(None, 8), *np.array_split(values[-20_000:], 3)).finish(x.size)
    sides = [np.geomspace(end / 1e4, end, 50) if end > 0 else [0.0] for end in (-x.min(), x.max())]
    best = min(error_of(x, -a, b) for a, b in itertools.product(*sides))
    assert error_of(x, low, high) <= 1.1 * best


def test_mse_cuts_where_it_pays_and_nowhere_else() -> None:
    """Uniform values fill their range; of a normal distribution the best ends are known, as shares of sigma."""
    rng = np.random.default_rng(0)
    even = rng.uniform(-1, 3, 100_000).astype(np.float32)
    assert [*seen(MeanSquare.chosen(None, 8), even).finish(0)] == pytest.approx([-1, 3], rel=0.02)
    normal = rng.normal(size=2_000_000).astype(np.float32)
    found = seen(MeanSquare.chosen(None, 8), normal).finish(0)
    assert [*found] == pytest.approx([-3.92, 3.92], rel=0.03)  # least of step^2/12 + 2 int_t (x-t)^2 phi
    assert [*seen(MeanSquare.chosen(None, 16), normal).finish(0)] == pytest.approx([normal.min(), normal.max()], rel=0.02)


def divergences(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Of each threshold, in bins: TensorRT's procedure, bin by bin, on the values themselves."""
    nonzero = values[values != 0].astype(np.float64)
    width = np.abs(nonzero).max() / 2048
    places = np.floor(nonzero / width).astype(int).clip(-2048, 2047)
    counts = np.bincount(places + 2048, minlength=4096)
    first, last = int(places.min()) + 2048, int(places.max()) + 2049
    found = np.full(2049, np.inf)
    for t in range(8, 2049, 8):
        a, b = max(2048 - t, min(first, 2048)), min(2048 + t, max(last, 2048))
        if b - a < 255:
            continue
        p = counts[a:b].astype(float)
        p[0] += counts[:a].sum()
        p[-1] += counts[b:].sum()
        q = np.zeros(b - a)
        groups = [np.flatnonzero(np.arange(b - a) * 255 // (b - a) == k) for k in range(255)]
        for group in groups:
            filled = [i for i in group if p[i] > 0]
            q[filled] = (counts[a:b][group].sum() or 1) / max(len(filled), 1)
        p, q = p / p.sum(), q / q.sum()
        found[t] = (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()
    return found, width


@pytest.mark.parametrize("name", ["normal", "laplace", "heavy", "behind a RELU", "shifted"])
def test_histogram_is_tensorrts_entropy(name: str) -> None:
    """Its threshold has nearly the least divergence of all, by the procedure itself."""
    values = DRAWN[name](np.random.default_rng(3)).astype(np.float32)
    low, high = seen(Entropy.chosen(None, 8), values).finish(values.size)
    found, width = divergences(values)
    threshold = max(-low, high) / width
    near = found[max(0, int(threshold) - 24) : int(threshold) + 25].min()
    assert near <= 1.1 * found.min()
    assert np.isfinite(found).sum() > 100
    assert low >= values.min() and high <= values.max()


@pytest.mark.parametrize("method", [Percentile.chosen(99, 8), MeanSquare.chosen(None, 8), Entropy.chosen(None, 8)])
def test_ends_are_zero_or_values_that_were_seen(method: Clipping) -> None:
    for given in ([0.0] * 9, [2.5], [-2.5], [1e-42, 1.0], [3e38, -1.0], [-0.0, 0.0]):
        x = np.array(given, np.float32)
        low, high = seen(type(method).chosen(99 if isinstance(method, Percentile) else None, 8), x).finish(x.size)
        assert min(x.min(), 0) <= low <= 0 <= high <= max(x.max(), 0), given


def bits(h: Histogram) -> list[tuple[str, bytes]]:
    return [(name, np.asarray(a).tobytes()) for name, a in h.arrays().items()]


def test_any_order_of_samples_and_shards_gives_the_same_bits() -> None:
    """Sizes from 1e-30 to 1e30: bins fall away as larger values come, sooner or later."""
    rng = np.random.default_rng(1)
    samples = [(rng.normal(size=50) * 10.0**e).astype(np.float32) for e in (-30, -3, 0, 2, 4, 5, 30)]
    samples.append(np.zeros(4, np.float32))
    expected = None
    for turn in range(20):
        order = np.random.default_rng(turn).permutation(len(samples))
        shards = [Histogram.empty() for _ in range(3)]
        for k, i in enumerate(order):
            shards[k % 3].accumulate(samples[i])
        whole = shards[turn % 3].merge(shards[(turn + 1) % 3].merge(shards[(turn + 2) % 3]))
        expected = expected or bits(whole)
        assert bits(whole) == expected
        assert whole.total == sum(s.size for s in samples)


def test_merging_and_values_that_are_not_finite_change_nothing() -> None:
    one, two = (seen(MeanSquare.chosen(None, 8), np.float32(v)) for v in ([1, 2, np.nan, np.inf], [1000]))
    before = bits(one.histogram), bits(two.histogram)
    merged = one.merge(two)
    assert (bits(one.histogram), bits(two.histogram)) == before
    assert merged.histogram.total == 3 and merged.histogram.ends.tolist() == [1, 1000]


def test_parameters_must_agree() -> None:
    with pytest.raises(UsageError, match=r"percentile with 99 and with 99\.9"):
        Percentile.chosen(99, 8).merge(Percentile.chosen(99.9, 8))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("mse", (RangeChoice("mse"),)),
        ("percentile:99.9", (RangeChoice("percentile", 99.9),)),
        ("a=b=mse, histogram", (RangeChoice("mse", None, "a=b"), RangeChoice("histogram"))),
        (["x,y=mse"], (RangeChoice("mse", None, "x,y"),)),
    ],
)
def test_choices(given: str | Sequence[str], expected: tuple[RangeChoice, ...]) -> None:
    assert parse_ranges(given) == expected


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("entropy", 'ranges: there is no method "entropy"; known are minmax, mse, percentile:P, histogram'),
        ("", 'ranges: there is no method ""'),
        ("a=", 'ranges: there is no method ""'),
        ("=mse", 'ranges: "=mse" has no name before the equals sign'),
        ("mse,minmax", "ranges has 2 methods for all tensors (mse, minmax)"),
        ("percentile", "takes a P above 50, up to 100"),
        ("percentile:50", "takes a P above 50, up to 100"),
        ("percentile:nan", "takes a P above 50, up to 100"),
        ("percentile:101", "takes a P above 50, up to 100"),
        ("mse:8", "ranges: mse takes no number"),
        ("nowhere=mse", 'ranges: no float operator has the index, type or output name "nowhere"'),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str, why: str) -> None:
    (tmp_path / "m.tflite").write_bytes(network(Builder()))
    np.save(tmp_path / "s.npy", with_far_values())
    words = ["quantize", str(tmp_path / "m.tflite"), "-c", str(tmp_path / "s.npy"), "-o", str(tmp_path / "o.tflite")]
    with pytest.raises(SystemExit) as done:
        main([*words, "--ranges", given])
    assert done.value.code == 2 and why in capsys.readouterr().err


@pytest.mark.parametrize("given", [None, 3, [], [3], {"a": "mse"}])
def test_other_types_are_refused(given: object) -> None:
    with pytest.raises(UsageError, match="ranges"):
        fullint.quantize(network(Builder()), with_far_values(), ranges=given)


def network(g: Builder) -> bytes:
    """A value that is far out in every sample, in one place of the first layer's output."""
    x = g.input(1, 8, 8, 4, name="x")
    first = g.conv(x, filters=8, activation="RELU")
    second = g.conv(first, filters=8)
    g.output(g.dense(g.reshape(g.op("ABS", second), 1, -1), 5))
    for t, name in ((first, "first"), (second, "second")):
        t.name = name
    return g.bytes()


def with_far_values(count: int = 120, factor: float = 60.0) -> np.ndarray:
    """One value of each sample is far out: no sample is an outlier, and none can be left out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 8, 8, 4)).astype(np.float32)
    for sample in x:
        sample[tuple(rng.integers(0, s) for s in sample.shape)] *= factor
    return x


def scales(model: bytes) -> dict[str, float]:
    graph = read_bytes(model).main
    return {t.name: float(t.quant.scale[0]) for t in graph.tensors if t.quant is not None and not t.is_constant}


def unread(g: Builder) -> tuple[bytes, np.ndarray]:
    """One of 512 values is a hundred times as large as the others, and nobody reads it."""
    x = g.input(1, 512, name="x")
    weights = np.random.default_rng(1).normal(size=(8, 512)).astype(np.float32)
    weights[:, 0] = 0
    g.output(g.op("FULLY_CONNECTED", g.op("EXP", x, name="first"), g.const(weights), shape=(1, 8)))
    rng = np.random.default_rng(0)
    samples = rng.uniform(-1, 1, (120, 1, 512)).astype(np.float32)
    samples[:, :, 0] = rng.uniform(4, 5, (120, 1))
    return g.bytes(), samples


def long_tails(g: Builder) -> tuple[bytes, np.ndarray]:
    """Sums of two values with long tails, on a scale of their own."""
    x = g.input(1, 24, 24, 8, name="x")
    g.output(g.op("SUB", x, g.op("MUL", x, g.const(0.5)), name="first"))
    return g.bytes(), np.random.default_rng(0).laplace(size=(150, 24, 24, 8)).astype(np.float32)


@pytest.mark.parametrize(("make", "given", "least"), [(unread, "percentile:99.5", 3.0), (long_tails, "mse", 1.5)])
def test_what_it_gave_is_measured_and_said(make: Callable[[Builder], tuple[bytes, np.ndarray]], given: str, least: float) -> None:
    data, samples = make(Builder())
    plain, result = (fullint.quantize(data, samples, ranges=r) for r in ("minmax", given))
    ranges = result.report.ranges
    assert plain.report.ranges is None and ranges is not None and ranges.samples > 0
    assert ranges.sqnr_db > ranges.minmax_sqnr_db + least
    assert result.report.certificate.sqnr_db > plain.report.certificate.sqnr_db + least
    text = str(result.report)
    assert f"{ranges.sqnr_db:.1f} dB on {ranges.samples} samples, {ranges.minmax_sqnr_db:.1f} dB with min-max" in text
    assert f"{given} for {len(ranges.tensors)} tensors" in text
    assert json.loads(result.report.to_json())["ranges"]["minmax_sqnr_db"] == ranges.minmax_sqnr_db
    for t in ranges.tensors:
        low, high = min(t.minmax[0], 0), max(t.minmax[1], 0)
        assert t.method == given and low <= t.chosen[0] <= 0 <= t.chosen[1] <= high
    [first] = [t for t in ranges.tensors if t.tensor == "first"]
    assert first.chosen[1] < first.minmax[1] * 0.85 and 0 < first.outside < 0.01
    assert re.search(r'"first" \S+ \[\S+, \S+\] of \[\S+, \S+\], \S+ % of the values outside', text)


def test_the_figure_with_min_max_is_that_of_a_run_with_min_max() -> None:
    """On the samples that were held back, of which both are known."""
    data, samples = long_tails(Builder())
    plain, result = (fullint.quantize(data, samples, ranges=r).report for r in ("minmax", "mse"))
    assert result.ranges.minmax_sqnr_db == pytest.approx(plain.certificate.sqnr_db, abs=1)
    assert result.ranges.sqnr_db == pytest.approx(result.certificate.sqnr_db, abs=1)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ("first=mse", {"first"}),
        ("CONV_2D=percentile:99.9,first=minmax", {"second"}),
        ("x=percentile:99.9", {"x"}),
        ("mse,x=minmax,CONV_2D=minmax,ABS=minmax,FULLY_CONNECTED=minmax", set()),
        ("0=mse", {"first"}),
    ],
)
def test_only_what_is_named_changes(given: str, changed: set[str]) -> None:
    """Inputs, activations and outputs; what is measured of others stays as it is."""
    data, x = network(Builder()), with_far_values()
    plain, other = (scales(fullint.quantize(data, x, ranges=r, per_tensor=False).model) for r in ("minmax", given))
    assert {n for n in plain if plain[n] != other[n]} == changed


def test_who_is_named_without_effect_is_said() -> None:
    result = fullint.quantize(network(Builder()), with_far_values(), ranges="RESHAPE=mse")
    assert 'ranges: "RESHAPE" has no effect: no range is measured of what it names' in result.report.warnings
    assert result.report.ranges is None


def test_inside_a_loop_ranges_are_min_max_and_that_is_said(g: Builder) -> None:
    x = g.input(1, 64, name="x")
    inside = loop(g, x)
    for t, name in zip(inside, ("turned", "moved"), strict=True):
        t.name = name
    samples = np.random.default_rng(0).laplace(size=(60, 1, 64)).astype(np.float32)
    result = fullint.quantize(g.bytes(), samples, ranges="mse", min_sqnr=-50)
    [said] = [w for w in result.report.warnings if w.startswith("ranges: ")]
    assert '"moved"' in said and "min-max, in a loop or branch" in said
    assert "moved" not in {t.tensor for t in result.report.ranges.tensors}


@pytest.mark.parametrize("turned", [False, True])
def test_a_name_in_a_loop_is_found_in_whatever_order_a_file_has_its_graphs(g: Builder, turned: bool) -> None:
    """Each loop gets its own copies of its graphs, in another order."""
    for t, name in zip(loop(g, g.input(1, 64, name="x")), ("turned", "moved"), strict=True):
        t.name = name
    model = read_bytes(g.bytes())
    if turned:
        model.graphs[1:] = model.graphs[:0:-1]
    samples = np.random.default_rng(0).laplace(size=(60, 1, 64)).astype(np.float32)
    result = fullint.quantize(write_model(model), samples, ranges="moved=mse", min_sqnr=-50)
    [said] = [w for w in result.report.warnings if w.startswith("ranges: ")]
    assert '"moved"' in said and "min-max, in a loop or branch" in said


def test_a_mask_among_the_values_is_not_counted(g: Builder) -> None:
    """Half of the scores are masked; a percentile of all values would be the mask."""
    x = g.input(1, 4, 16, name="x")
    mask = np.zeros((4, 16), np.float32)
    mask[:, 8:] = -1e9
    g.output(g.op("SOFTMAX", g.op("ADD", x, g.const(mask)), beta=1.0))
    samples = np.random.default_rng(0).normal(size=(60, 1, 4, 16)).astype(np.float32) * 3
    plain, other = (fullint.quantize(g.bytes(), samples, ranges=r) for r in ("minmax", "mse"))
    assert other.report.certificate.sqnr_db > plain.report.certificate.sqnr_db - 3
    assert any("masks among the values" in w for w in other.report.warnings)


def test_a_stream_is_rescaled_by_what_is_left_of_its_channels(g: Builder) -> None:
    """Rescaled, the channels end where the chosen range does, and no value is cut off that it holds."""
    x = g.input(1, 8, 8, 4, name="x")
    first = g.conv(x, filters=8, kernel=1, activation="RELU")
    first.name = "first"
    g.output(g.reshape(g.conv(first, filters=4), 1, -1))
    samples = np.random.default_rng(0).laplace(size=(150, 8, 8, 4)).astype(np.float32) * np.float32([1, 1, 1, 9])
    result = fullint.quantize(g.bytes(), samples, ranges="percentile:99")
    [chosen] = [t.chosen for t in result.report.ranges.tensors if t.tensor == "first"]
    assert [c.output for c in result.report.changes if c.rule == "equalize"] == ["first"]
    assert scales(result.model)["first"] * 255 == pytest.approx(chosen[1], rel=0.01)
    assert chosen[1] < 0.6 * scales(fullint.quantize(g.bytes(), samples).model)["first"] * 255


def test_two_entries_have_what_holds_both() -> None:
    one = Narrowed("mse", Range(-1.0, 9.0), Range(0.0, 4.0), 0.01)
    two = Narrowed("mse", Range(0.0, 10.0), Range(-1.0, 3.0), 0.02)
    assert one.union(two) == two.union(one) == Narrowed("mse", Range(-1.0, 10.0), Range(-1.0, 4.0), 0.02)


def test_outlying_samples_that_are_dropped_end_no_range(g: Builder) -> None:
    """The counts still have them; the range ends where the other samples do."""
    g.output(g.dense(g.input(1, 16, name="x"), 4))
    x = np.random.default_rng(0).normal(size=(100, 1, 16)).astype(np.float32)
    x[5] *= 50
    result = fullint.quantize(g.bytes(), x, ranges="percentile:100", drop_outliers=True)
    assert result.report.samples["left_out"] == [5]
    assert max(t.chosen[1] for t in result.report.ranges.tensors if t.tensor == "x") < 6


def test_with_int16_nothing_is_cut_that_matters() -> None:
    result = fullint.quantize(network(Builder()), with_far_values(), ranges="mse", activations="int16")
    for t in result.report.ranges.tensors:
        assert t.outside < 1e-4
    assert isinstance(result.report.ranges.sqnr_db, float)


def test_threads_make_no_difference() -> None:
    data, samples = long_tails(Builder())
    models = {fullint.quantize(data, samples, ranges="mse,first=histogram", threads=n).model for n in (1, 2)}
    assert len(models) == 1


def test_a_refusal_says_what_min_max_gives() -> None:
    """Values that the network needs are cut off."""
    with pytest.raises(AccuracyError, match=r"--ranges minmax: [2-9]\d\.\d dB"):
        fullint.quantize(network(Builder()), with_far_values(), ranges="percentile:90", min_sqnr=15)


def test_a_plan_has_the_ranges() -> None:
    plain, other = (fullint.plan(network(Builder()), with_far_values(), ranges=r) for r in ("minmax", "first=mse"))
    found: list[Tensor] = [t for t in other.assignment.tensors() if t.name == "first"]
    [before] = [e for t, e in plain.assignment.tensors().items() if t.name == "first"]
    assert other.assignment.tensors()[found[0]].quant.scale < before.quant.scale
