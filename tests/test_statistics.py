"""Statistics as values: shards merge to the bits of one run, and ranges are made of them at the end."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
from inner_range import Inner
from measuring import Wanted, collect, every_probe, samples
from op_examples import lstm

from fullint.calibration.clipping import METHODS, Entropy, MeanSquare, Percentile
from fullint.calibration.range_methods import MinMax, RangeMethod
from fullint.calibration.statistics import (
    Measured,
    Statistics,
    Stats,
    finish,
    merge_entries,
    ranges_without,
    tensor_keys,
)
from fullint.errors import UsageError
from fullint.model.ir import Tensor
from fullint.model.ranges import Range
from fullint.ops.builder import Builder

COUNT = 6


def bits(found: Statistics) -> object:
    """All that is in them, to be compared."""

    def of(group: Mapping[str, RangeMethod]) -> dict[str, object]:
        return {k: (type(m), {n: (a.dtype, a.shape, a.tobytes()) for n, a in m.arrays().items()}) for k, m in group.items()}

    groups = [of(g) for g in (found.ranges, found.channels, found.rows, found.states)]
    return found.count, groups, found.numbers


def test_numbers_without_some() -> None:
    assert ranges_without([(0, 5), (7, 9)], {0, 2, 4, 7, 8, 11}) == ((1, 2), (3, 4))
    assert ranges_without([(0, 5)], set()) == ((0, 5),) and ranges_without([(0, 2)], {0, 1}) == ()


def same(a: Stats, b: Stats) -> bool:
    assert list(a.channels) == list(b.channels)
    channels = all(np.array_equal(x, y) for t in a.channels for x, y in zip(a.channels[t], b.channels[t], strict=True))
    return a.measured == b.measured and channels and a.unseen == b.unseen


@pytest.fixture
def inner(monkeypatch: pytest.MonkeyPatch) -> type[Inner]:
    """A method that files may name."""
    monkeypatch.setitem(METHODS, Inner.name, Inner)
    return Inner


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    "method",
    [
        None,
        Inner.empty(),
        Percentile.chosen(99.9, 8),
        MeanSquare.chosen(None, 8),
        Entropy.chosen(None, 8),
        MeanSquare.chosen(None, 16),
    ],
    ids=lambda m: m and m.name,
)
def test_shards_give_the_bits_of_one_run(g: Builder, threads: int, method: RangeMethod | None) -> None:
    """Every kind of probe; cut anywhere, merged in either order; and so do their ranges."""
    wanted, given = every_probe(g), samples(COUNT)
    whole = collect(wanted, given, method=method)
    made = finish(wanted.model, whole)
    assert whole.rows and bool(whole.channels) is (method is not None)
    for k in (1, 3, 5):
        first = collect(wanted, given[:k], 0, threads, method)
        second = collect(wanted, given[k:], k, 3 - threads, method)
        assert bits(first) != bits(whole)
        for shards in ((first, second), (second, first)):
            merged = shards[0].merge(shards[1])
            assert bits(merged) == bits(whole)
            assert same(finish(wanted.model, merged), made)


def test_three_shards_may_be_merged_as_they_come(g: Builder) -> None:
    wanted, given = every_probe(g), samples(COUNT)
    a, b, c = (collect(wanted, given[i : i + 2], i) for i in (0, 2, 4))
    whole = bits(collect(wanted, given, threads=2))
    assert bits(a.merge(b).merge(c)) == bits(c.merge(a.merge(b))) == bits(b.merge(c).merge(a)) == whole


def test_merging_changes_neither(g: Builder) -> None:
    wanted, given = every_probe(g), samples(4)
    first, second = collect(wanted, given[:2]), collect(wanted, given[2:], 2)
    before = bits(first), bits(second)
    first.merge(second)
    assert (bits(first), bits(second)) == before


def test_states_hold_both(g: Builder) -> None:
    """What a recurrent layer remembers depends on the order: a shard begins with nothing. Its ends are joined all the same."""
    lstm(g)
    wanted = Wanted(g.model(), [g.graph.outputs[0]])
    rng = np.random.default_rng(4)
    given = [[rng.normal(size=(1, 8, 6)).astype(np.float32)] for _ in range(4)]
    first, second = collect(wanted, given[:2]), collect(wanted, given[2:], 2)
    merged = first.merge(second)
    assert len(merged.states) == 2
    for k, m in merged.states.items():
        assert m.low[0] == min(first.states[k].low[0], second.states[k].low[0])
        assert m.high[0] == max(first.states[k].high[0], second.states[k].high[0])


def test_each_shards_own_ranges_have_more_room(g: Builder) -> None:
    """The same samples twice: the ends are those of one half, but twice as many values have been seen."""
    x = g.input(1, 10)
    y = g.op("NEG", x)
    g.output(y)
    wanted = Wanted(g.model(), [x, y])
    given = [[np.linspace(-1, 1, 10, dtype=np.float32)[None]]] * 5
    first, second = collect(wanted, given), collect(wanted, given, 5)
    merged, own = finish(wanted.model, first.merge(second)).ranges, finish(wanted.model, first).ranges
    for t in (x, y):
        assert own[t].low < merged[t].low < -1 < 1 < merged[t].high < own[t].high
    assert merged[x].high == pytest.approx(math.sqrt(math.log(1000) / math.log(100)))


def test_ranges_are_the_ends_with_room_for_what_few_values_did_not_show(g: Builder) -> None:
    """100 values of [-1, 3]: half the width is 2, the share sqrt(ln 1000 / ln 100) - 1."""
    x, few, many, positive, constant = (g.input(n) for n in (10, 1, 100, 10, 10))
    g.output(*(g.op("NEG", t) for t in (x, few, many, positive, constant)))
    keys = tensor_keys(g.model())
    ends = {x: (-1, 3), few: (-1, 3), many: (-1, 3), positive: (0.01, 3), constant: (2, 2)}
    found = Statistics(10, {keys[t]: MinMax(np.float32([a]), np.float32([b])) for t, (a, b) in ends.items()})
    ranges = finish(g.model(), found).ranges
    more = 2 * (math.sqrt(math.log(1000) / math.log(100)) - 1)
    assert [*ranges[x]] == pytest.approx([-1 - more, 3 + more])
    more = 2 * (math.sqrt(math.log(1000) / math.log(10)) - 1)
    assert [*ranges[few]] == pytest.approx([-1 - more, 3 + more])
    assert ranges[many] == Range(-1.0, 3.0)
    assert ranges[positive].low == 0.0 and ranges[positive].high > 3
    assert ranges[constant] == Range(2.0, 2.0)


@pytest.mark.parametrize(("count", "values"), [(1, 8), (8, 8), (9, 9), (999, 999), (1000, None), (1010, None)])
def test_fewer_than_eight_values_count_as_eight(count: int, values: int | None) -> None:
    share = math.sqrt(math.log(1000) / math.log(values)) - 1 if values else 0.0
    span = MinMax(np.float32([-1]), np.float32([1])).finish(count)
    assert [*span] == pytest.approx([-1 - share, 1 + share], rel=1e-6)


def test_channels_share_the_count_of_values(g: Builder) -> None:
    """Of 200 values of two channels, each has seen 100; the range is that of both, of 200."""
    x = g.input(1, 10, 2)
    g.output(g.op("NEG", x))
    model = g.model()
    method = MinMax(np.float32([-1, 0]), np.float32([1, 8]))
    found = finish(model, Statistics(10, {tensor_keys(model)[x]: method}))
    share = math.sqrt(math.log(1000) / math.log(100)) - 1
    low, high = found.channels[x]
    assert [*low, *high] == pytest.approx([-1 - share, 0, 1 + share, 8 + 4 * share])
    more = 4.5 * (math.sqrt(math.log(1000) / math.log(200)) - 1)
    assert [*found.ranges[x]] == pytest.approx([-1 - more, 8 + more])


def test_rows_and_states(g: Builder) -> None:
    """The smallest row maximum as it is; the largest absolute value of a state, with room."""
    x, state = g.input(1, 10), g.input(1, 4)
    g.output(g.op("NEG", x), g.op("NEG", state))
    model = g.model()
    keys = tensor_keys(model)
    rows, states = ({keys[t]: MinMax(np.float32([a]), np.float32([b]))} for t, a, b in ((x, -4, 7), (state, -5, 1)))
    found = finish(model, Statistics(25, {}, rows=rows, states=states))
    assert found.measured.row_maxima == {x: -4.0}
    more = 3 * (math.sqrt(math.log(1000) / math.log(100)) - 1)
    assert found.measured.state == {state: pytest.approx(5 + more)}


def test_what_no_sample_reached_is_said(g: Builder) -> None:
    x, y = g.input(1, 4), g.input(1, 4)
    g.output(g.op("ADD", x, y))
    model = g.model()
    keys = tensor_keys(model)
    found = finish(model, Statistics(2, {keys[x]: MinMax.empty(), keys[y]: MinMax(np.float32([0]), np.float32([0]))}))
    assert found.unseen == (x,) and found.ranges == {x: Range(0.0, 0.0), y: Range(0.0, 0.0)}


def test_a_method_of_ones_own_makes_the_ranges(g: Builder) -> None:
    """From the graph to the range: the inner eight tenths of all values; in a loop it is the ends."""
    wanted, given = every_probe(g), samples(COUNT)
    found = finish(wanted.model, collect(wanted, given, threads=2, method=Inner.empty()))
    low, high = np.percentile(np.stack([s[1] for s in given]), [10, 90])
    x, _, plain, *_ = wanted.tensors
    assert [*found.ranges[x]] == pytest.approx([low, high])
    plainly = finish(wanted.model, collect(wanted, given))
    assert found.ranges[wanted.tensors[5]] == plainly.ranges[wanted.tensors[5]]
    np.testing.assert_array_equal(found.channels[plain], plainly.channels[plain])


def test_entries_have_a_range_that_holds_both() -> None:
    """Whichever comes first, and so have rows, states and channels."""
    shared, one, two = (Tensor(n, (2,), "float32") for n in ("shared", "one", "two"))
    ends = [np.float32([[n]]) for n in (1, 2)]
    first = Stats(Measured({shared: Range(-1.0, 5.0), one: Range(0.0, 1.0)}, {one: -3.0}, {two: 9.0}), {}, (one,))
    second = Stats(
        Measured({shared: Range(-2.0, 3.0), two: Range(0.0, 2.0)}, {one: -1.0}, {two: 4.0}),
        {two: (ends[0], ends[1])},
        (two,),
    )
    for pair in ((first, second), (second, first)):
        merged = merge_entries(pair)
        assert merged.ranges == {shared: Range(-2.0, 5.0), one: Range(0.0, 1.0), two: Range(0.0, 2.0)}
        assert (merged.measured.row_maxima, merged.measured.state) == ({one: -3.0}, {two: 9.0})
        assert {*merged.unseen} == {one, two} and merged.channels == {two: (ends[0], ends[1])}


def plain(low: float = 0.0, *names: str, places: int = 1, numbers: tuple[tuple[int, int], ...] = ()) -> Statistics:
    method = MinMax(np.full(places, low, np.float32), np.full(places, low + 1, np.float32))
    return Statistics(2, dict.fromkeys(names or ("a",), method), numbers=numbers)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (plain(0, "b"), "statistics of different models or options cannot be merged: only one has a"),
        (plain(0, "a", "b"), "statistics of different models or options cannot be merged: only one has b"),
        (
            Statistics(2, {"a": Inner.empty()}),
            "statistics of different models or options cannot be merged: range methods differ",
        ),
        (
            Statistics(2, plain().ranges, rows=plain().ranges),
            "statistics of different models or options cannot be merged: only one has a",
        ),
        (
            Statistics(2, plain().ranges, states=plain().ranges),
            "statistics of different models or options cannot be merged: only one has a",
        ),
        (
            Statistics(2, plain().ranges, channels=plain().ranges),
            "statistics of different models or options cannot be merged: only one has a",
        ),
        (plain(numbers=((1, 2), (5, 6))), "both statistics hold sample 1: give each shard its own numbers"),
    ],
)
def test_what_does_not_belong_together_is_not_merged(other: Statistics, why: str) -> None:
    mine = plain(numbers=((0, 2), (3, 4)))
    for one, two in ((mine, other), (other, mine)):
        with pytest.raises(UsageError) as refused:
            one.merge(two)
        assert str(refused.value) == why


@pytest.mark.parametrize("places", [1, 3])
def test_what_was_measured_differently_is_not_merged(places: int) -> None:
    with pytest.raises(UsageError):
        plain(places=4).merge(plain(places=places))


def test_the_same_samples_are_not_counted_twice(g: Builder) -> None:
    x = g.input(1, 4)
    g.output(g.op("NEG", x))
    wanted, given = Wanted(g.model(), [x]), [[np.ones((1, 4), np.float32)]] * 2
    found = collect(wanted, given)
    with pytest.raises(UsageError):
        found.merge(collect(wanted, given))


def test_what_another_entry_has_seen_is_not_unseen() -> None:
    t = Tensor("t", (2,), "float32")
    unseen = Stats(Measured({t: Range(0.0, 0.0)}), {}, (t,))
    seen = Stats(Measured({t: Range(3.0, 4.0)}), {t: (np.float32([0, -5]), np.float32([1, 2]))})
    wider = Stats(Measured({t: Range(3.0, 4.0)}), {t: (np.float32([-1, 0]), np.float32([0, 7]))})
    for pair in ((unseen, seen), (seen, unseen)):
        assert merge_entries(pair).unseen == ()
        assert merge_entries(pair).ranges == {t: Range(3.0, 4.0)}
    for pair in ((wider, seen), (seen, wider)):
        low, high = merge_entries(pair).channels[t]
        assert (low.tolist(), high.tolist()) == ([-1, -5], [1, 7])
