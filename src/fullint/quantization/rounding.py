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

from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, eq=False)
class Inputs:
    """What some results of an operator are made of, [results, groups, columns], float32.

    Attributes:
        exact: in the float model.
        rounded: in the integer model, as real values.
        first: how many of the results are of the samples that a target is fitted on.
    """

    exact: Array
    rounded: Array
    first: int


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


def round_weights(weights: Array, scale: Array, inputs: Inputs, most: int) -> Rounded:
    """The codes of one operator's weights.

    Args:
        weights: [groups, outputs, columns], float32.
        scale: of each output, [groups, outputs].
        inputs: of some results.
        most: largest code.
    """
    columns = weights.shape[2]
    unit, of_inputs = _unit(weights), min(_unit(inputs.exact), _unit(inputs.rounded))
    weights, scale = weights * unit, scale * unit
    inputs = Inputs(inputs.exact * of_inputs, inputs.rounded * of_inputs, inputs.first)
    blocks = [slice(a, min(a + BLOCK, columns)) for a in range(0, columns, BLOCK)]
    exact, rounded, first = _centred(inputs.exact), _centred(inputs.rounded), inputs.first
    nearest = np.clip(np.rint(weights / scale[:, :, None]), -most, most).astype(np.int8)

    def error(codes: Array, part: slice = slice(None)) -> float:
        return _error(weights, exact[part], codes.astype(np.float32) * scale[:, :, None], rounded[part])

    before = error(nearest)
    to_given = (float(unit) * float(of_inputs)) ** 2
    as_nearest = Rounded(nearest, before / to_given, before / to_given, False)
    few = len(exact) < ENOUGH * min(columns, BLOCK)
    if few:
        others = slice(first, None)
        if not error(_codes(weights, scale, rounded[:first], blocks, most), others) < WORTH * error(nearest, others):
            return as_nearest
    shifted = None if few else _moved_target(weights, exact, rounded, first, blocks)
    codes = _codes(weights if shifted is None else shifted, scale, rounded, blocks, most)
    after = error(codes)
    return Rounded(codes, before / to_given, after / to_given, shifted is not None) if after < before else as_nearest


def _codes(target: Array, scale: Array, rounded: Array, blocks: list[slice], most: int) -> Array:
    """Codes of all columns, block by block."""
    codes = np.empty(target.shape, np.int8)
    for b in blocks:
        x = rounded[:, :, b]
        codes[:, :, b] = _rounded(target[:, :, b].copy(), scale, _damped(_second_moment(x, x), _damping(x)), most)
    return codes


def _unit(values: Array) -> Any:
    """A power of two, float32, that brings values to at most 1, so that no square overflows; nothing else changes."""
    size = float(np.abs(values).max(initial=0.0))
    return np.float32(2.0 ** -np.clip(np.frexp(size)[1], -60, 126)) if size > 0 else np.float32(1)


def _centred(x: Array) -> Array:
    """[groups, results, columns] of [results, groups, columns], without the mean of each column."""
    moved = np.ascontiguousarray((x - x.mean(axis=0, dtype=np.float64).astype(np.float32)).transpose(1, 0, 2))
    by_result: Array = moved.transpose(1, 0, 2)
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


def _damping(x: Array) -> Array:
    """How much of H is noise, of each group: l of (1 - l) H + l mean(diag) I as a share of H.

    l = E|x x^T - H|^2 / n / |H - mean(diag) I|^2,    x of length 1
    """
    lengths = np.sqrt(np.square(x).sum(axis=2, keepdims=True, dtype=np.float64))
    equal = (x / np.maximum(lengths, 1e-30)).astype(np.float32)
    h = _second_moment(equal, equal).astype(np.float64)
    energy, trace = np.square(h).sum(axis=(1, 2)), np.einsum("gii->g", h)
    noise = np.maximum(trace - energy, 0) / max(len(x), 1)  # each |x x^T|^2 is 1, or 0 where x is; their mean is the trace
    apart = energy - np.square(trace) / h.shape[-1]
    known = np.maximum(apart - noise, 0)
    share: Array = np.clip(noise / np.maximum(known, noise / MOST_DAMPING + 1e-30), DAMPING, MOST_DAMPING)
    return share


def _moved_target(weights: Array, exact: Array, rounded: Array, first: int, blocks: list[slice]) -> Array | None:
    """A target that takes back the error of the input, if it does so on results that it was not fitted on."""
    if first < 2 or len(exact) - first < 2:
        return None
    before = after = 0.0
    for b in blocks:
        fitted = _target(weights[:, :, b], exact[:first, :, b], rounded[:first, :, b])
        before += _error(weights[:, :, b], exact[first:, :, b], weights[:, :, b], rounded[first:, :, b])
        after += _error(weights[:, :, b], exact[first:, :, b], fitted, rounded[first:, :, b])
    if not after < TARGET_WORTH * before:
        return None
    return np.concatenate([_target(weights[:, :, b], exact[:, :, b], rounded[:, :, b]) for b in blocks], axis=2)


def _target(weights: Array, exact: Array, rounded: Array) -> Array:
    h = _damped(_second_moment(rounded, rounded), TARGET_DAMPING)
    change = np.linalg.solve(h, _second_moment(rounded, exact - rounded).astype(np.float64))
    moved: Array = weights + np.matmul(weights, change.transpose(0, 2, 1).astype(np.float32))
    return moved


def _error(weights: Array, exact: Array, other: Array, rounded: Array) -> float:
    """Mean squared difference of the results of W x_f and of other weights times x_q."""
    difference = np.matmul(exact.transpose(1, 0, 2), weights.transpose(0, 2, 1))
    difference -= np.matmul(rounded.transpose(1, 0, 2), other.transpose(0, 2, 1))
    return float(np.square(difference, out=difference).mean(dtype=np.float64))


def _rounded(target: Array, scale: Array, h: Array, most: int) -> Array:
    """Codes of one block of columns, [groups, outputs, columns], h being damped; the target is used up."""
    columns = target.shape[2]
    with np.errstate(all="ignore"):
        upper = np.linalg.cholesky(np.linalg.inv(h)).transpose(0, 2, 1)
    upper = (upper / np.einsum("gii->gi", upper)[:, :, None]).astype(np.float32)  # U_jk / U_jj
    left = np.ascontiguousarray(target.transpose(0, 2, 1))  # [groups, columns, outputs]
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
