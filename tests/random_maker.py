"""A random graph in the making (see `random_graphs`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fullint.model.ir import Tensor
from fullint.ops.builder import Builder

LARGEST = 50.0


class Maker:
    """A graph in the making: the tensors that may be read, and how large their values are about."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.g = Builder(seed)
        self.pool: list[Tensor] = []
        self.size: dict[Tensor, float] = {}
        self.constants: dict[tuple[int, ...], Tensor] = {}

    def one(self, *choices: object):
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def pick(self, fits: Callable[[Tensor], bool] = lambda t: True, limit: float = LARGEST) -> Tensor | None:
        """A float tensor that fits, the latest most likely, squashed where its values may pass the limit."""
        found = [t for t in self.pool if t.dtype == "float32" and t.shape and fits(t)]
        if not found:
            return None
        return self.tame(found[-1 - int(self.rng.exponential(2.5)) % len(found)], limit)

    def op(self, kind: str, *inputs: Tensor | None, size: float = 1.0, **options: object):
        """Builder's, with the estimate of the values."""
        made = self.g.op(kind, *inputs, **options)
        for t in made if isinstance(made, list) else [made]:
            self.size[t] = max(size, 0.1)
        return made

    def tame(self, t: Tensor, limit: float = LARGEST) -> Tensor:
        if self.size[t] <= limit:
            return t
        match self.one("TANH", "scale", "clip"):
            case "scale":
                return self.op("MUL", t, self.g.const(float(2 / self.size[t])), size=2)
            case "clip":
                low = self.op("MAXIMUM", t, self.g.const(-2.0), size=self.size[t])
                return self.op("MINIMUM", low, self.g.const(2.5), size=2.5)
        return self.op("TANH", t)

    def positive(self, t: Tensor) -> Tensor:
        """A tensor of values of at least a half or so."""
        match self.one("abs", "exp", "logistic", "max"):
            case "abs":
                return self.op("ADD", self.op("ABS", t, size=self.size[t]), self.g.const(0.5), size=self.size[t] + 0.5)
            case "exp":
                return self.op("EXP", self.op("TANH", t), size=2.7)
            case "logistic":
                return self.op("ADD", self.op("LOGISTIC", t), self.g.const(0.5), size=1.5)
        return self.op("MAXIMUM", t, self.g.const(0.5), size=self.size[t])

    def constant(self, shape: tuple[int, ...], positive: bool = False) -> Tensor:
        """A constant, one made before half of the time."""
        key = (*shape, int(positive))
        if key not in self.constants or self.chance(0.5):
            drawn = self.rng.normal(size=shape).astype(np.float32)
            self.constants[key] = self.g.const(np.abs(drawn) + np.float32(0.5) if positive else drawn)
        return self.constants[key]

    def ints(self, *values: int) -> Tensor:
        return self.g.const(np.asarray(values, np.int32))
