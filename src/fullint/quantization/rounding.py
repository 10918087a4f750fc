"""Weights rounded for what they multiply, so that the errors of a row's roundings cancel in its result.

    minimise  E |Wq x_q - W x_f|^2      over codes at fixed scales; x_f, x_q: the operator's input in the float and the integer
                                        model, both without their means, which the bias takes

    H = E[x_q x_q^T] + d mean(diag) I             the target T = W, or, where samples that it was not fitted on say so,
    T = W + W E[(x_f - x_q) x_q^T] (H0 + mean(diag) I)^-1                  one that takes back the error of the input as well
    column after column:  q_j = round(T_j / s),  T_k -= (T_j - q_j s) U_jk / U_jj  for k > j,      U^T U = H^-1

(Frantar et al., "GPTQ", 2022, with the input of the quantized network as in Frantar and Alistarh, "Optimal Brain Compression",
2022.) The damping d is 0.1, or more where the results are too few to tell how columns go together: as much as makes H the
estimate of Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004, taken of inputs of
equal length, so that a few large ones do not make all of it noise. Columns are taken channel by channel in blocks of at most
288; what two blocks have in common is neglected. Of few results, one half has to show that what suits the other suits it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fullint.model.ir import Array

BLOCK = 288
"""Columns that are rounded together."""
DAMPING, TARGET_DAMPING = 0.1, 1.0
"""Of H at least, and of what the target is fitted with, as shares of the mean of its diagonal: light damping overfits."""
MOST_DAMPING = 1e3
"""From here on, rounding is to nearest."""
TARGET_WORTH = 0.9
"""The error on other samples has to fall below this share, for a target that is not W."""
ENOUGH, WORTH = 0.5, 0.95
"""Results for each column of which fewer have to show on others that rounding for them helps: there, too, the error has to fall
below this share of that of the nearest codes."""
LAZY = 32
"""Columns after which the rest of a block is updated."""


class Each(Protocol):
    """`map`, or that of a pool of threads; what is done does not depend on it."""

    def __call__(self, function: Callable[[Any], Any], items: Iterable[Any], /) -> Iterable[Any]: ...


@dataclass(frozen=True, eq=False)
class Exact:
    """What the float model has of an operator, for some of its results: it waits for no decision.

    Attributes:
        weights: [groups, outputs, columns], float32, brought to at most 1 by `unit`.
        inputs: [results, groups, columns], float32, without their means, brought to at most 1 by `of_inputs`.
        results: these weights times these inputs, [groups, results, outputs].
        unit, of_inputs: powers of two.
    """

    weights: Array
    inputs: Array
    results: Array
    unit: Any
    of_inputs: Any

    @classmethod
    def of(cls, weights: Array, inputs: Array) -> Exact:
        """The same of weights and inputs as they are."""
        unit, of_inputs = _unit(weights), _unit(inputs)
        weights, inputs = weights * unit, _centred(inputs, of_inputs)
        return cls(weights, inputs, _product(inputs, weights), unit, of_inputs)

    def brought_to(self, of_inputs: Any) -> Exact:
        """The same with inputs that are smaller by a power of two."""
        less = of_inputs / self.of_inputs
        return self if less == 1 else replace(self, inputs=self.inputs * less, results=self.results * less, of_inputs=of_inputs)


@dataclass(frozen=True, eq=False)
class Rounded:
    """Codes, and the mean squared error of the results: rounded to nearest, and so.

    Attributes:
        codes: as the weights, int8.
        nearest, error: on the results that were looked at, means taken off.
        moved_target: whether it takes back the error of the input.
    """

    codes: Array
    nearest: float
    error: float
    moved_target: bool


def round_weights(exact: Exact, scale: Array, rounded: Array, first: int, most: int, each: Each = map) -> Rounded:
    """The codes of one operator's weights.

    Args:
        exact: weights and inputs in the float model.
        scale: of each output, [groups, outputs].
        rounded: the inputs in the integer model, as real values, [results, groups, columns], float32.
        first: how many of the results are of the samples that a target is fitted on.
        most: largest code.
        each: runs what can be done at the same time.
    """
    columns = exact.weights.shape[2]
    of_inputs = min(exact.of_inputs, _unit(rounded))
    exact, scale = exact.brought_to(of_inputs), scale * exact.unit
    weights, rounded = exact.weights, _centred(rounded, of_inputs)
    nearest = np.clip(np.rint(weights / scale[:, :, None]), -most, most).astype(np.int8)
    blocks = [slice(a, min(a + BLOCK, columns)) for a in range(0, columns, BLOCK)]

    def error(codes: Array) -> float:
        return _mean_square(exact.results - _product(rounded, codes.astype(np.float32) * scale[:, :, None]))

    before, to_given = error(nearest), (float(exact.unit) * float(of_inputs)) ** 2
    as_nearest = Rounded(nearest, before / to_given, before / to_given, False)
    few = len(rounded) < ENOUGH * min(columns, BLOCK)
    if few:

        def on_others(codes: Array) -> float:
            return _error(weights, exact.inputs[first:], codes.astype(np.float32) * scale[:, :, None], rounded[first:])

        factors = _factors(rounded[:first], blocks, each)
        if not on_others(_codes(weights, scale, factors, most, each)) < WORTH * on_others(nearest):
            return as_nearest
    shifted = None if few else _moved_target(exact, rounded, first, blocks, each)
    codes = _codes(weights if shifted is None else shifted, scale, _factors(rounded, blocks, each), most, each)
    after = error(codes)
    return Rounded(codes, before / to_given, after / to_given, shifted is not None) if after < before else as_nearest


_Part = tuple[slice, slice]
"""Some groups, and a block of columns."""


def _parts(groups: int, blocks: list[slice]) -> list[_Part]:
    """What goes to two cores: groups and blocks do not depend on one another."""
    half = (groups + 1) // 2
    return [(g, b) for b in blocks for g in (slice(0, half), slice(half, groups)) if g.start < g.stop]


def _factors(rounded: Array, blocks: list[slice], each: Each) -> list[tuple[_Part, Array]]:
    """Each part with how what is lost in one column goes to the others: U_jk / U_jj, [groups, columns, columns]."""
    parts = _parts(rounded.shape[1], blocks)
    inputs = [rounded[:, g, b] for g, b in parts]
    jobs = [*((_of_itself, x) for x in inputs), *((_damping, x) for x in inputs)]
    found = [*each(lambda job: job[0](job[1]), jobs)]
    damped = zip(found[: len(parts)], found[len(parts) :], strict=True)
    uppers = each(lambda pair: _upper(_damped(*pair)), damped)
    return list(zip(parts, uppers, strict=True))


def _codes(target: Array, scale: Array, factors: Sequence[tuple[_Part, Array]], most: int, each: Each) -> Array:
    """Codes of all columns, part by part."""
    codes = np.empty(target.shape, np.int8)

    def fill(part: tuple[_Part, Array]) -> None:
        (g, b), upper = part
        codes[g, :, b] = _rounded(target[g, :, b], scale[g], upper, most)

    for _ in each(fill, factors):
        pass
    return codes


def _unit(values: Array) -> Any:
    """A power of two, float32, that brings values to at most 1, so that no square overflows; nothing else changes."""
    size = float(max(values.max(initial=0.0), -values.min(initial=0.0)))
    return np.float32(2.0 ** -np.clip(np.frexp(size)[1], -60, 126)) if size > 0 else np.float32(1)


def _centred(x: Array, unit: Any) -> Array:
    """[results, groups, columns] times a power of two, without the mean of each column; group by group in memory."""
    moved = np.empty((x.shape[1], x.shape[0], x.shape[2]), np.float32)
    by_result: Array = moved.transpose(1, 0, 2)
    np.multiply(x, unit, out=by_result)
    by_result -= (x.mean(axis=0, dtype=np.float64) * float(unit)).astype(np.float32)
    return by_result


def _second_moment(x: Array, y: Array) -> Array:
    """E[x y^T] of each group, [groups, columns, columns]."""
    a, b = x.transpose(1, 2, 0), y.transpose(1, 0, 2)
    moment: Array = np.matmul(a, b) / np.float32(max(len(x), 1))
    return moment


def _damped(h: Array, share: Array | float) -> Array:
    size = h.shape[-1]
    diagonal = np.einsum("gii->gi", h).mean(axis=1).astype(np.float64)
    damped: Array = h.astype(np.float64) + (share * np.maximum(diagonal, 1e-12))[:, None, None] * np.eye(size)
    return damped


def _of_itself(x: Array) -> Array:
    return _second_moment(x, x)


_ROWS = 64
"""Results at a time, so that they stay in the cache."""


def _damping(x: Array) -> Array:
    """How much of H is noise, of each group: l of (1 - l) H + l mean(diag) I as a share of H.

    l = E|x x^T - H|^2 / n / |H - mean(diag) I|^2,    x of length 1
    """
    equal = np.empty_like(x)
    for a in range(0, len(x), _ROWS):
        part = x[a : a + _ROWS]
        lengths = np.sqrt(np.square(part).sum(axis=2, keepdims=True, dtype=np.float64))
        equal[a : a + _ROWS] = part / np.maximum(lengths, 1e-30)
    h = _second_moment(equal, equal).astype(np.float64)
    energy, trace = np.square(h).sum(axis=(1, 2)), np.einsum("gii->g", h)
    noise = np.maximum(trace - energy, 0) / max(len(x), 1)  # each |x x^T|^2 is 1, or 0 where x is; their mean is the trace
    apart = energy - np.square(trace) / h.shape[-1]
    known = np.maximum(apart - noise, 0)
    share: Array = np.clip(noise / np.maximum(known, noise / MOST_DAMPING + 1e-30), DAMPING, MOST_DAMPING)
    return share


def _moved_target(exact: Exact, rounded: Array, first: int, blocks: list[slice], each: Each) -> Array | None:
    """A target that takes back the error of the input, if it does so on results that it was not fitted on."""
    weights, x = exact.weights, exact.inputs
    if first < 2 or len(x) - first < 2:
        return None
    fitted = _targets(weights, x[:first], rounded[:first], blocks, each)
    pairs = [(b, w) for b in blocks for w in (weights, fitted)]
    errors = [*each(lambda p: _error(weights[:, :, p[0]], x[first:, :, p[0]], p[1][:, :, p[0]], rounded[first:, :, p[0]]), pairs)]
    before, after = sum(errors[::2], 0.0), sum(errors[1::2], 0.0)
    return _targets(weights, x, rounded, blocks, each) if after < TARGET_WORTH * before else None


def _targets(weights: Array, exact: Array, rounded: Array, blocks: list[slice], each: Each) -> Array:
    """`_target` of all columns, part by part."""
    found = np.empty_like(weights)

    def fill(part: _Part) -> None:
        g, b = part
        found[g, :, b] = _target(weights[g, :, b], exact[:, g, b], rounded[:, g, b])

    for _ in each(fill, _parts(len(weights), blocks)):
        pass
    return found


def _target(weights: Array, exact: Array, rounded: Array) -> Array:
    h = _damped(_second_moment(rounded, rounded), TARGET_DAMPING)
    change = np.linalg.solve(h, _second_moment(rounded, exact - rounded).astype(np.float64))
    moved: Array = weights + np.matmul(weights, change.transpose(0, 2, 1).astype(np.float32))
    return moved


def _error(weights: Array, exact: Array, other: Array, rounded: Array) -> float:
    """Mean squared difference of the results of W x_f and of other weights times x_q."""
    return _mean_square(_product(exact, weights) - _product(rounded, other))


def _mean_square(difference: Array) -> float:
    return float(np.square(difference, out=difference).mean(dtype=np.float64))


def _product(inputs: Array, weights: Array) -> Array:
    """[groups, results, outputs]."""
    product: Array = np.matmul(inputs.transpose(1, 0, 2), weights.transpose(0, 2, 1))
    return product


def _upper(h: Array) -> Array:
    with np.errstate(all="ignore"):
        upper = np.linalg.cholesky(np.linalg.inv(h)).transpose(0, 2, 1)
    found: Array = (upper / np.einsum("gii->gi", upper)[:, :, None]).astype(np.float32)
    return found


def _rounded(target: Array, scale: Array, upper: Array, most: int) -> Array:
    """Codes of one block of columns, [groups, outputs, columns]; `upper` is U_jk / U_jj."""
    columns = target.shape[2]
    left = target.transpose(0, 2, 1).copy()  # [groups, columns, outputs]
    codes = np.empty(left.shape, np.int8)
    for a in range(0, columns, LAZY):
        b = min(a + LAZY, columns)
        errors = np.empty((len(left), b - a, left.shape[2]), np.float32)
        for j in range(a, b):
            q = np.clip(np.rint(left[:, j] / scale), -most, most)
            codes[:, j] = q
            errors[:, j - a] = left[:, j] - q * scale
            left[:, j + 1 : b] -= upper[:, j, j + 1 : b, None] * errors[:, j - a, None]
        left[:, b:] -= np.matmul(upper[:, a:b, b:].transpose(0, 2, 1), errors)
    as_weights: Array = codes.transpose(0, 2, 1)
    return as_weights
