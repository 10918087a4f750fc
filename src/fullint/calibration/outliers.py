"""Few samples that alone set the range of an input or an inner tensor.

    largest |value| in each sample, farthest first:   227  201  ...  98 | 4.4  4.3  4.1 ...
                                                      -- outliers ----- ^ a gap: `GAP` times the next

With them, int8 has `GAP` times coarser steps for all other samples. Whether that costs anything is tried, not assumed: a network
may need its steps elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fullint.calibration.collect import Collected, held_number
from fullint.calibration.outermost import MOST
from fullint.calibration.probes import Seen
from fullint.model.ir import Array, Tensor

GAP = 3.0
FEW = 10
"""At most one of so many samples is an outlier."""


@dataclass(frozen=True, eq=False)
class Outliers:
    """Samples that lie far outside of all others.

    Attributes:
        numbers: of those that calibrated, and of those held back (`held_number`, negative).
        tensor: where they lie farthest out.
        size: the largest absolute value there.
        others: the largest absolute value of the other samples there.
        tensors: how many tensors have their range from them.
    """

    numbers: frozenset[int]
    tensor: Tensor
    size: float
    others: float
    tensors: int


def find_outliers(collected: Collected, inputs: Sequence[Tensor]) -> Outliers | None:
    """The samples that alone set ranges, or None.

    Args:
        collected: what the samples have shown.
        inputs: of the graph; a tensor that is one says most.
    """
    most = min((collected.count + len(collected.found.held)) // FEW, MOST - 1)
    first = set(inputs)
    found = [f for f in _by_tensor(collected, most) if f is not None]
    found.sort(key=lambda f: (f.tensor not in first, -f.size / f.others))
    numbers: frozenset[int] = frozenset()
    counted: list[Outliers] = []
    for one in found:
        if len(numbers | one.numbers) <= most:
            numbers |= one.numbers
            counted.append(one)
    if not counted:
        return None
    named = counted[0]
    return Outliers(numbers, named.tensor, named.size, named.others, len(counted))


def _by_tensor(collected: Collected, most: int) -> Iterator[Outliers | None]:
    stretches: dict[Tensor, list[int]] = {}
    for stretch, p in enumerate(collected.probes):
        if p.what in (Seen.LOW, Seen.HIGH, Seen.NEGATED) and p.tensor not in collected.states:
            stretches.setdefault(p.tensor, []).append(stretch)
    held = {held_number(place): collected.found.reach(vector) for place, vector in collected.found.held.items()}
    for t, own in stretches.items():
        yield _outliers(t, _sizes(collected, own, held), most)


def _sizes(collected: Collected, stretches: Sequence[int], held: Mapping[int, Array]) -> dict[int, float]:
    """The largest absolute values of a tensor by sample, of those samples that have the largest."""
    found: dict[int, float] = {}
    for stretch in stretches:
        ranked = collected.found.farthest.ranked(stretch)
        for value, number in (*ranked, *((float(reach[stretch]), number) for number, reach in held.items())):
            found[number] = max(value, found.get(number, 0.0))
    return found


def _outliers(t: Tensor, sizes: Mapping[int, float], most: int) -> Outliers | None:
    ranked = sorted(((size, number) for number, size in sizes.items()), reverse=True)
    gaps = [(ranked[k - 1][0] / ranked[k][0], k) for k in range(1, min(most, len(ranked) - 1) + 1) if ranked[k][0] > 0]
    ratio, count = max(gaps, default=(0.0, 0))
    if ratio < GAP:
        return None
    return Outliers(frozenset(number for _, number in ranked[:count]), t, ranked[0][0], ranked[count][0], 1)
