"""Whether times compared beside noise come to the ratio of the work."""

from itertools import chain, repeat

import pytest
from timings import settled


def test_a_moment_in_which_the_machine_is_faster_for_one_of_the_two_decides_nothing() -> None:
    times = chain([(0.8, 1.0)], repeat((1.0, 1.0)))
    assert settled(lambda: next(times), 0.9, 1.1) == 1.0


def test_a_neighbour_in_most_turns_decides_nothing() -> None:
    times = chain([(3.0, 1.0), (1.5, 1.4), (1.2, 1.9)], repeat((1.02, 1.6)))
    assert 0.9 < settled(lambda: next(times), 0.9, 1.1) < 1.1


@pytest.mark.parametrize("slow", [0.8, 1.2])
def test_what_is_slower_in_every_turn_fails(slow: float) -> None:
    noise = chain([1.0, 1.3, 1.1, 1.6], repeat(1.2))
    with pytest.raises(pytest.fail.Exception, match="the ratio is"):
        settled(lambda: (slow * (n := next(noise)), n), 0.9, 1.1)
