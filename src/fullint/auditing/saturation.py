"""How many values of each quantized activation are at the end of their range, counted on samples.

    model + all its quantized activations as outputs --builtin kernels--> codes --> share at the smallest and largest code

Ends that the network itself asks for are left out: 0 of a range that ends there, the clamp of a fused RELU6, the ends of a
kernel's fixed scale or of a bounded function, and what is only moved from such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fullint.auditing.rules.base import Saturation
from fullint.calibration.portions import bytes_of, portions
from fullint.calibration.signatures import with_outputs
from fullint.model.ir import Array, Model, Op, Tensor, Uses
from fullint.model.numerics import RANGES, as_activation, representable
from fullint.model.ranges import Range
from fullint.ops import ROWS, Fixed, Same, traits_of
from fullint.ops.base import codes
from fullint.ops.make import CLAMPS
from fullint.ops.operands import plain
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.answers import SATURATED_SHARE

MOST_SAMPLES = 64
"""Samples looked at."""
UNSEEN = 0.5
"""For the values of one sample that calibration did not see, of a sample."""


def measure_saturation(model: Model, samples: Sequence[Sequence[Array]]) -> dict[Tensor, Saturation]:
    """How far each quantized activation saturates: tensor -> shares.

    Args:
        model: with quantized activations.
        samples: arrays in graph input order, in the types of the model's inputs.

    Raises:
        RuntimeFailure: LiteRT does not run the model.
    """
    wanted = [t for op in model.main.ops for t in op.outputs if plain(t) is not None and t.dtype in RANGES and t.size]
    counts: dict[Tensor, Array] = {}
    with WorkerProcess() as worker:
        for group in portions(wanted, bytes_of):
            with model_file(with_outputs(model, group)) as path:
                worker.call(Open(path, "builtin", 1))
                for sample in samples:
                    for t, values in zip(group, worker.call(Run(list(sample))), strict=True):
                        low, high = RANGES[t.dtype]
                        seen = np.array([np.sum(values == low), np.sum(values == high), values.size], np.int64)
                        counts[t] = counts.get(t, np.zeros(3, np.int64)) + seen
    natural = natural_ends(model)
    found = {t: _saturation(t, seen, natural.get(t, (False, False)), len(samples)) for t, seen in counts.items()}
    return {t: s for t, s in found.items() if s is not None}


def _saturation(t: Tensor, seen: Array, natural: tuple[bool, bool], samples: int) -> Saturation | None:
    low, high, values = map(int, seen)
    low, high = (0 if natural[0] else low), (0 if natural[1] else high)
    given = as_activation(t)
    if given is None:
        return None
    chance = 3 * math.sqrt(SATURATED_SHARE / values) + UNSEEN / samples
    much = low + high >= (SATURATED_SHARE + chance) * values
    return Saturation(low / values, high / values, representable(*given), values, much)


def natural_ends(model: Model) -> Mapping[Tensor, tuple[bool, bool]]:
    """Quantized activations -> whether the network itself asks for the low, and the high end."""
    found: dict[Tensor, tuple[bool, bool]] = {}
    uses = Uses(model.main)
    for op in model.main.ops:
        for index, t in enumerate(op.outputs):
            given = as_activation(t) if codes(t) else None
            if given is not None:
                low, high = _asked_for(op, index, representable(*given), found, uses)
                found[t] = (low, high)
    return found


def _asked_for(op: Op, index: int, own: Range, found: Mapping[Tensor, tuple[bool, bool]], uses: Uses) -> tuple[bool, bool]:
    row, traits = ROWS.get(op.kind), traits_of(op.kind)
    rule = row.output(index) if row is not None else None
    if isinstance(rule, Fixed) or (traits.selects and any(t is not None and t.is_constant for t in op.inputs)):
        return True, True
    bounded = traits.unary and not traits.monotone and not traits.homogeneous  # such as HARD_SWISH, which has a smallest value
    table = op.inputs[0] is not None and op.inputs[0].is_constant  # a look-up
    if bounded or table:
        return True, True
    low, high = own.low == 0, own.high == 0
    clamp = CLAMPS.get(op.options.get("fused_activation_function", 0))
    if clamp is not None:
        low, high = low or own.low <= clamp[0], high or own.high >= clamp[1]
    x = op.input(row.data) if row is not None else op.input(0)
    if x is not None and x in found and (isinstance(rule, Same) or op.kind == "QUANTIZE"):
        given = as_activation(x)
        source = representable(*given) if given is not None else own
        low |= found[x][0] and own.low <= source.low
        high |= found[x][1] and own.high >= source.high
    made = uses.producer.get(x) if x is not None and op.kind == "QUANTIZE" and x.is_float else None
    if made is not None:  # a half-quantized model: the clamp is that of the float operator
        inner = _asked_for(made, 0, own, found, uses)
        low, high = low or inner[0], high or inner[1]
    return low, high
