"""Weights rounded, and biases corrected, operator by operator, on what the integer model really computes.

    for each operator with weights, in order, on some samples:
        x_f, x_q     its input in the float and in the integer model
        Wq           codes for what they multiply                                     (`rounding`)
        e            mean over all results of   Wq x_q + bq - W x_f - b               before the activation
        b' = bq - e max(0, 1 - SE^2 / e^2)                                            SE: of the mean over samples
        the integer operator, with Wq and b', makes the next x_q

Rounding and clipping shift the mean of every layer a little, and the shifts add up. (Nagel et al., "Data-free quantization
through weight equalization and bias correction", 2019, empirical bias correction; here of the sequence, so that each layer
takes back what those before it have left.) This decides; `apply` changes the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from fullint.model.ir import Array, Buffer, Graph, Model, Op, Tensor
from fullint.model.numerics import RANGES, bias_scales, dequantize
from fullint.model.weights import INT8_WEIGHTS
from fullint.ops import ROWS
from fullint.ops.taps import Taps
from fullint.quantization.patches import Patches, TapMeans, drawn
from fullint.quantization.rounding import Each, Exact, Rounded, round_weights
from fullint.quantization.side_by_side import Pair, SteppedModel, data_of, weights_of
from fullint.reporting import Change

RESULTS, FEWEST_RESULTS, INPUT_VALUES = 2048, 128, 2_000_000
"""Results of an operator that its weights are rounded on: fewer, down to a bound, where they read more values than these."""


@dataclass(frozen=True, eq=False)
class Refined:
    """What becomes of an operator of the integer model.

    Attributes:
        pair: the operator in both models.
        new: the integer one with other constants.
        rounded: of its weights; None where they stay.
        shift: root of the mean square of what its bias takes back.
        why: why its weights stay, if they do.
    """

    pair: Pair
    new: Op
    rounded: Rounded | None
    shift: float
    why: str = ""


@dataclass(frozen=True, eq=False)
class _Form:
    """The weights of an operator as one matrix for each group, [groups, outputs, columns]; columns channel by channel."""

    axis: int
    shape: tuple[int, ...]
    groups: int
    taps: int

    @classmethod
    def of(cls, op: Op, taps: Taps) -> _Form:
        w = weights_of(op)
        axis = ROWS[op.kind].axis or 0
        each = w.size // w.shape[axis] // taps.window
        return cls(axis, w.shape, taps.channels // each, taps.window)

    def matrix(self, w: Array) -> Array:
        first = np.moveaxis(w, self.axis, 0).reshape(w.shape[self.axis], self.taps, -1)
        return np.ascontiguousarray(first.transpose(0, 2, 1)).reshape(self.groups, w.shape[self.axis] // self.groups, -1)

    def back(self, matrix: Array) -> Array:
        outputs = self.shape[self.axis]
        first = matrix.reshape(outputs, -1, self.taps).transpose(0, 2, 1)
        rest = tuple(n for i, n in enumerate(self.shape) if i != self.axis)
        return np.ascontiguousarray(np.moveaxis(first.reshape(outputs, *rest), 0, self.axis))


def refine(
    pairs: Sequence[Pair],
    exact: SteppedModel,
    integer: SteppedModel,
    samples: int,
    stay: Mapping[Op, str],
    progress: Callable[[int, int], None],
    threads: int = 1,
) -> list[Refined]:
    """Other weights and biases for the operators of the integer model, each decided with those before it in place.

    Args:
        pairs: the operators, in order.
        exact, integer: the two models, cut before them.
        samples: how many.
        stay: integer operator -> why its weights are not rounded anew.
        progress: told how many operators of how many are done.
        threads: that compute at the same time; nothing depends on them.
    """
    found: list[Refined] = []
    instead: dict[Op, Op] = {}
    looks = [_Looks.of(pair, samples, number, rounded=pair.integer not in stay) for number, pair in enumerate(pairs)]
    with ThreadPoolExecutor(threads) as pool:
        # the float model waits for no decision: it is one operator ahead
        ahead = pool.submit(_seen_exactly, looks[0], exact) if looks else None
        for number, (pair, look) in enumerate(zip(pairs, looks, strict=True)):
            integer.advance(instead)
            look.ask(integer, pair.integer)
            assert ahead is not None
            seen = ahead.result()
            ahead = pool.submit(_seen_exactly, looks[number + 1], exact) if number + 1 < len(looks) else None
            one = _refined(look, seen, look.answers(integer), samples, stay.get(pair.integer, ""), pool.map)
            if one is not None:
                found.append(one)
                instead[pair.integer] = one.new
            progress(number + 1, len(pairs))
    return found


@dataclass(frozen=True, eq=False)
class _Looks:
    """What is to be seen of what an operator multiplies.

    Attributes:
        pair: the operator in both models.
        form: of its weights.
        taps: what it reads; None where nothing is looked at.
        at: the results that its weights are rounded for; None where they stay.
    """

    pair: Pair
    form: _Form | None
    taps: Taps | None
    at: Array | None

    @classmethod
    def of(cls, pair: Pair, samples: int, seed: int, *, rounded: bool) -> _Looks:
        taps = ROWS[pair.exact.kind].taps(pair.exact)
        if taps is None or data_of(pair.integer).quant is None or weights_of(pair.integer).quant is None:
            return cls(pair, None, None, None)
        form = _Form.of(pair.exact, taps)
        if not rounded:
            return cls(pair, form, taps, None)
        at = drawn(taps, samples, max(FEWEST_RESULTS, min(RESULTS, INPUT_VALUES // (form.taps * taps.channels))), seed)
        return cls(pair, form, taps, at)

    def ask(self, side: SteppedModel, op: Op) -> None:
        """Ask for it, of one of the models, whose operator it is; `answers` gives it."""
        data = data_of(op)
        zero = 0 if data.is_float or data.quant is None else int(data.quant.zero_point[0])
        if self.taps is not None:
            side.ask(op, TapMeans(self.taps, zero))
        if self.taps is not None and self.at is not None:
            side.ask(op, Patches(self.taps, self.at, zero))

    def answers(self, side: SteppedModel) -> list[Array]:
        """What each tap reads on average; what the weights are rounded for, if they are."""
        side.wait()
        return [side.answer() for _ in range((self.taps is not None) + (self.at is not None))]


@dataclass(frozen=True, eq=False)
class _SeenExactly:
    """What the float model has at an operator.

    Attributes:
        weights: as a matrix (`_Form`), float32.
        results: means without the bias, [samples, outputs].
        exact: what its weights are rounded for, if they are.
    """

    weights: Array
    results: Array
    exact: Exact | None


def _seen_exactly(look: _Looks, side: SteppedModel) -> _SeenExactly | None:
    """Run the float model on to an operator."""
    side.advance({})
    look.ask(side, look.pair.exact)
    seen = look.answers(side)
    if look.form is None:
        return None
    w = look.form.matrix(weights_of(look.pair.exact).array.astype(np.float32))
    inputs = None if look.at is None else seen[1].reshape(len(seen[1]), look.form.groups, -1)
    return _SeenExactly(w, _results(w, seen[0], look.form), None if inputs is None else Exact.of(w, inputs))


def _refined(look: _Looks, seen: _SeenExactly | None, integer: list[Array], samples: int, why: str, each: Each) -> Refined | None:
    pair, taps, form = look.pair, look.taps, look.form
    row = ROWS[pair.exact.kind]
    data, codes = data_of(pair.integer), weights_of(pair.integer)
    if taps is None or form is None or seen is None or data.quant is None or codes.quant is None:
        return None
    scale = float(data.quant.scale[0])
    steps = np.broadcast_to(codes.quant.scale, form.shape[form.axis]).reshape(seen.weights.shape[:2])
    new = replace(pair.integer, inputs=list(pair.integer.inputs))
    rounded = None
    if look.at is not None and seen.exact is not None:
        first = int((look.at < taps.places * (samples // 2)).sum())
        q = dequantize(integer[1], data.quant).reshape(len(look.at), form.groups, -1)
        rounded = round_weights(seen.exact, steps, q, first, INT8_WEIGHTS.most, each)
        new.inputs[row.weight or 0] = replace(codes, buffer=Buffer.of(form.back(rounded.codes)))
    now = form.matrix(weights_of(new).array)
    shift = _corrected(pair, new, _results(now, integer[0] * scale, form, steps) - seen.results, scale)
    return Refined(pair, new, rounded, shift, why)


_WEIGHTS_AT_ONCE = 1 << 22


def _results(w: Array, means: Array, form: _Form, steps: Array | None = None) -> Array:
    """Mean results without the bias, [samples, outputs], of what each tap reads on average, [samples, taps, channels].

    Large weights are taken piece by piece, since 64 bits of each would be most of what the process holds.
    """
    x = means.transpose(0, 2, 1).reshape(len(means), form.groups, -1)
    rows = max(1, _WEIGHTS_AT_ONCE * w.shape[1] // max(w.size, 1))
    found = []
    for start in range(0, w.shape[1], rows):
        piece = w[:, start : start + rows].astype(np.float64)
        if steps is not None:
            piece *= steps[:, start : start + rows, None]
        found.append(np.einsum("sgk,gok->sgo", x, piece, optimize=True))
    return np.concatenate(found, axis=2).reshape(len(means), -1)


def _corrected(pair: Pair, new: Op, error: Array, scale: float) -> float:
    """Give the new operator a bias that takes back its mean error, [samples, outputs]; how large that is."""
    row = ROWS[new.kind]
    index = row.bias or 0
    bias, steps = new.input(index), weights_of(new).quant
    before = pair.exact.input(index)
    assert steps is not None
    if bias is None or bias.quant is None or bias.buffer is None or not np.isfinite(error).all():
        return 0.0
    step = bias_scales(scale, steps.scale).astype(np.float64)
    real = np.zeros(error.shape[1]) if before is None else before.array.astype(np.float64)
    at = bias.array.astype(np.int64)
    error = error + (at * step - real)
    shift = shrunk(error)
    limit = RANGES[bias.dtype][1]
    moved = np.clip(at - np.rint(shift / step).astype(np.int64), -limit, limit)
    new.inputs[index] = replace(bias, buffer=Buffer.of(moved.astype(bias.array.dtype)))
    return float(np.sqrt(np.square(shift).mean()))


def shrunk(error: Array) -> Array:
    """Means of the error over samples, the less the fewer there are and the larger their spread, e max(0, 1 - SE^2 / e^2)."""
    mean = error.mean(axis=0)
    if len(error) < 2:
        return np.zeros_like(mean)
    noise = error.var(axis=0, ddof=1) / len(error)
    keep: Array = np.maximum(0.0, 1 - noise / np.maximum(np.square(mean), 1e-30))
    shift: Array = mean * keep
    return shift


def carried_over(pairs: Sequence[Pair], known: Sequence[Refined]) -> list[Refined]:
    """What was decided in another run, for operators whose scales are the same in this one."""
    before = {_work(r.pair.exact): r for r in known}
    found = []
    for pair in pairs:
        r = before.get(_work(pair.exact))
        if (
            r is None
            or not _same(data_of(pair.integer), data_of(r.new))
            or not _same(weights_of(pair.integer), weights_of(r.new))
        ):
            continue
        row = ROWS[pair.integer.kind]
        new = replace(pair.integer, inputs=list(pair.integer.inputs))
        for i in (row.weight, row.bias):
            if i is not None and new.input(i) is not None:
                new.inputs[i] = r.new.input(i)
        found.append(replace(r, pair=pair, new=new))
    return found


def _work(op: Op) -> tuple[int, str, str]:
    """What tells an operator in another form of the run, where it may be another object."""
    return op.origin, op.kind, op.output_name


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and a.quant is not None and a.quant.same_as(b.quant)


def apply(model: Model, refined: Sequence[Refined]) -> list[Change]:
    """Put refined operators in the place of the old ones, in place, and say what was done."""
    main: Graph = model.main
    instead = {one.pair.integer: one.new for one in refined}
    main.ops = [instead.get(op, op) for op in main.ops]
    main.sync_tensors()
    return [Change("refine", r.pair.exact.origin, r.new.kind, r.new.output_name, _said(r)) for r in refined]


def _said(r: Refined) -> str:
    taken = f"mean error of {r.shift:.3g} taken back"
    if r.rounded is None:
        return f"{taken}; weights stay: {r.why}" if r.why else taken
    gain = 10 * np.log10(max(r.rounded.nearest, 1e-30) / max(r.rounded.error, 1e-30))
    also = ", errors of its input included" if r.rounded.moved_target else ""
    return f"rounding for its inputs lowers its error by {gain:.1f} dB{also}; {taken}"
