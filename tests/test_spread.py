"""Samples for refinement, taken evenly from a stream whose length is not known."""

import numpy as np
import pytest

from fullint.calibration.samples.spread import Spread


def taken(count: int, most: int, **options: bool) -> list[int]:
    """Numbers of the samples that are wanted, of a stream of `count`; each sample holds its number."""
    spread = Spread(most, **options)
    for number in range(count):
        spread.add(number, [np.array(number)])
        assert len(spread.kept) < max(2 * most, 1)
    found = spread.samples()
    assert [int(sample[0]) for sample in found.values()] == [*found]
    return [*found]


@pytest.mark.parametrize("most", [1, 2, 3, 6, 24])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 11, 12, 13, 23, 24, 47, 48, 49, 100, 1000])
def test_as_many_as_are_wanted_from_all_over_the_stream(count: int, most: int) -> None:
    """In order, from the first one on; no part of the stream is left out that is more than twice as long as another."""
    found = taken(count, most)
    assert len(found) == min(count, most)
    assert found[0] == 0 and found == sorted(found)
    if count <= most:
        assert found == [*range(count)]
        return
    gaps = np.diff([*found, count])
    assert gaps[:-1].max(initial=0) <= 2 * gaps[:-1].min(initial=count)
    assert gaps.max() <= max(2 * -(-count // most), 1)


def test_every_class_of_sorted_data_is_seen() -> None:
    for classes in (3, 8, 12):
        assert {n * classes // 960 for n in taken(960, 24)} == {*range(classes)}


def test_of_a_sequence_the_first_ones() -> None:
    """Each goes on from the one before."""
    assert taken(100, 5, in_order=True) == [0, 1, 2, 3, 4]
    assert taken(3, 5, in_order=True) == [0, 1, 2]


def test_none_where_none_are_wanted() -> None:
    assert taken(10, 0) == taken(0, 5) == []
