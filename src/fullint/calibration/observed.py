"""Which values have to be measured; the parameters of the others follow."""

from __future__ import annotations

from fullint.calibration.masks import paddings
from fullint.model.ir import Model, Op, Quant, Tensor, Uses
from fullint.model.numerics import as_activation, representable
from fullint.model.ranges import Range
from fullint.ops import ROWS, Fixed, Observed


def observed_tensors(model: Model, float_ends: tuple[bool, bool] = (False, False)) -> list[Tensor]:
    """The float activations whose ranges have to be measured, graph by graph, in execution order.

    The others follow: outputs with fixed parameters, and values that share another's. What stays float needs no range.

    Args:
        model: prepared.
        float_ends: whether inputs, and outputs, of operators kept in float stay float.
    """
    found = _might_need(model)
    if not any(op.keep_float for _, op in model.ops()):
        return found
    stays = _staying_float(model, *float_ends)
    return [t for t in found if t not in stays]


def _staying_float(model: Model, float_in: bool, float_out: bool) -> set[Tensor]:
    """Tensors that only operators kept in float write and read."""
    uses = Uses(*model.graphs)
    inputs = {t for graph in model.entries for t in graph.inputs}
    ends = {t for graph in model.entries for t in graph.outputs}
    inner = uses.outputs - ends
    found = set()
    for t in (*inputs, *uses.producer):
        made = uses.producer.get(t)
        starts = made.keep_float if made is not None else float_in and bool(uses.of(t))
        if starts and t not in inner and (t not in ends or (float_out and made is not None)):
            found |= {t} if all(reader.keep_float for reader, _ in uses.of(t)) else set()
    return found


def _might_need(model: Model) -> list[Tensor]:
    found = [t for graph in model.entries for t in graph.inputs if t.dtype == "float32" and t.size]
    ends = {t for pad in paddings(model).values() for t in pad.ends}
    for _, op in model.ops():
        row = ROWS.get(op.kind)
        for i, t in enumerate(op.outputs):
            if t.dtype != "float32" or not t.size or given_params(op) is not None:
                continue
            if row is None or op.keep_float or isinstance(row.output(i), Observed) or clips(op) or t in ends:
                found.append(t)
    return found


def clips(op: Op) -> bool:
    """MAXIMUM or MINIMUM with a constant.

    Its input, if nobody else reads it, may be saturated to the clipped range: quantizing then does
    the clipping, and no code is spent on what is cut off.
    """
    return op.kind in ("MAXIMUM", "MINIMUM") and sum(t is not None and not t.is_constant for t in op.inputs) == 1


def given_params(op: Op) -> tuple[Quant, str] | None:
    """(parameters, type) of a DEQUANTIZE's output, from the codes it reads."""
    x = op.input(0)
    return as_activation(x) if op.kind == "DEQUANTIZE" and x is not None else None


def given_range(op: Op) -> Range | None:
    """What a DEQUANTIZE's output can hold, by the codes it reads."""
    given = given_params(op)
    return representable(*given) if given is not None else None


def demanded_range(op: Op, index: int = 0) -> Range | None:
    """What an output of fixed parameters can hold: a DEQUANTIZE's, or one whose kernel demands them; None for others."""
    row = ROWS.get(op.kind)
    rule = row.output(index) if row is not None else None
    return given_range(op) or (representable(rule.quant) if isinstance(rule, Fixed) else None)


def demanded_ranges(model: Model) -> dict[Tensor, Range]:
    """What the outputs of fixed parameters can hold."""
    return {
        t: span
        for _, op in model.ops()
        for i, t in enumerate(op.outputs)
        if t.dtype == "float32" and (span := demanded_range(op, i)) is not None
    }
