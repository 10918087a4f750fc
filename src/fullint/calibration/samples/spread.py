"""Some samples of a stream, spread evenly over all of it: data often comes sorted, by class, by person or by scene.

keep 3 of a stream:    0 . . . . .     0 1 2 3 4 5, every one        when twice as many are kept as are wanted,
                       0 . 2 . 4 .     every second                  every second of them goes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fullint.model.ir import Array


class Spread:
    """Takes samples one by one, and keeps at most twice as many as are wanted.

    Args:
        most: how many are wanted.
        in_order: whether those from the first on are wanted, because each goes on from the one before.
    """

    def __init__(self, most: int, *, in_order: bool = False) -> None:
        self.most, self.in_order = most, in_order
        self.stride = 1
        self.kept: dict[int, list[Array]] = {}

    def add(self, number: int, sample: Sequence[Array]) -> None:
        """Take in the next sample."""
        if number % self.stride or (self.in_order and number >= self.most) or not self.most:
            return
        self.kept[number] = list(sample)
        if len(self.kept) >= 2 * self.most:
            self.stride *= 2
            self.kept = {n: s for n, s in self.kept.items() if n % self.stride == 0}

    def samples(self) -> Mapping[int, list[Array]]:
        """Those that are wanted, by number, in order."""
        numbers = [*self.kept]
        count = min(self.most, len(numbers))
        return {n: self.kept[n] for n in (numbers[i * len(numbers) // count] for i in range(count))}
