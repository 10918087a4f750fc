"""A model run in pieces, on several samples at once, with what later pieces read kept in between.

    values   {3: [x of sample 0, x of sample 1, ...]}
    Advance  piece with input 3 and outputs 5, 6; 3 is read no more       ->   {5: [...], 6: [...]}
    Look     some function of the values of 5                             ->   its result

Values are kept in the worker, since most of them are only read by the next piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fullint.model.ir import Array
from fullint.runtime.interpreter import invoke, open_interpreter
from fullint.runtime.watch import Watch


class Steps:
    """The values of one model, by numbers that the caller chose; each a list of arrays, one for each sample."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.values: dict[int, Sequence[Array]] = {}

    def put(self, values: Mapping[int, Sequence[Array]]) -> None:
        """Forget everything, and keep these."""
        self.values = dict(values)

    def advance(self, path: str, takes: Sequence[int], gives: Sequence[int], drops: Sequence[int], threads: int) -> None:
        """Run a piece on every sample, in their order (so that its variables go on from one to the next)."""
        with self.watch.loading(path, "xnnpack"):
            runner = open_interpreter(path, "xnnpack", threads)
        ends = [d["index"] for d in runner.get_output_details()]
        made: list[list[Array]] = [[] for _ in gives]
        count = len(self.values[takes[0]]) if takes else max(map(len, self.values.values()), default=0)
        for i in range(count):
            with self.watch.run():
                invoke(runner, [self.values[key][i] for key in takes])
            for found, end in zip(made, ends, strict=True):
                found.append(runner.get_tensor(end))
        self.values.update(zip(gives, made, strict=True))
        self.drop(drops)

    def drop(self, keys: Sequence[int]) -> None:
        """Forget some values."""
        for key in keys:
            self.values.pop(key, None)

    def look(self, key: int, function: Callable[[Sequence[Array]], Any]) -> Any:
        """What a function makes of a value."""
        return function(self.values[key])
