"""Ranges that a model brings along: of fake quantization, of lifted operators, of a QUANTIZE behind a value.

x --CONV_2D--> y --QUANTIZE(s, z)--> q        =>        y: (-128 - z) s … (127 - z) s
"""

from __future__ import annotations

from collections.abc import Mapping

from fullint.calibration.collect import state_tensors
from fullint.calibration.observed import given_range, observed_tensors
from fullint.calibration.samples import WAYS, Held, draw_samples, slots
from fullint.calibration.statistics import Measured
from fullint.documents import many
from fullint.errors import UsageError
from fullint.model.ir import Model, Tensor, Uses
from fullint.model.numerics import as_activation, representable
from fullint.model.ranges import Range
from fullint.ops.base import codes
from fullint.quantization.stage_values import Calibrated, Prepared

DRAWN = 16
"""Number of random inputs that a result is judged on if there are no samples."""
JUDGED = f"the result was judged on {DRAWN} random inputs within the input ranges: no samples were given"
MOST_MISSING = 6
"""How many values without parameters an error names."""


def given_by_training(prepared: Prepared) -> Calibrated:
    """What calibration finds, without samples: the model was trained with parameters for every value.

    Raises:
        UsageError: it was not, for the values that the message names.
    """
    model, known = prepared.model, known_ranges(prepared)
    missing = [*unknown(model, known, prepared.loaded.options.float_ends), *state_tensors(model)]
    if missing and not prepared.pinned:
        raise UsageError(f"no representative samples; {WAYS}")
    if missing:
        made_by = Uses(*model.graphs).producer
        named = [f'"{t.name}"{f" ({made_by[t].kind} {made_by[t].origin})" if t in made_by else ""}' for t in missing]
        if len(named) > MOST_MISSING:
            named[MOST_MISSING:] = [f"{len(missing) - MOST_MISSING} more"]
        said = f"training left no parameters for {many(len(missing), 'value')}, {', '.join(named)}"
        raise UsageError(f"no representative samples, and {said}; {WAYS}")
    return Calibrated(prepared, model, Measured(known), drawn_inputs(prepared, known), warnings=(JUDGED,))


def known_ranges(prepared: Prepared) -> dict[Tensor, Range]:
    """Ranges of the float activations for which the file has parameters."""
    model = prepared.model
    found = {t: representable(*given) for t, given in prepared.pinned.items()}
    uses = Uses(*model.graphs)
    for t in observed_tensors(model):
        asked = [as_activation(op.outputs[0]) if op.kind == "QUANTIZE" else None for op, _ in uses.of(t)]
        first = asked[0] if asked and t not in uses.outputs else None
        if first is not None and all(a is not None and first[0].same_as(a[0]) and first[1] == a[1] for a in asked):
            found[t] = representable(*first)  # for other readers, the QUANTIZE might clip the range
    for _, op in model.ops():
        if (span := given_range(op)) is not None:
            found[op.outputs[0]] = span
    return found


def unknown(model: Model, known: Mapping[Tensor, Range], float_ends: tuple[bool, bool]) -> list[Tensor]:
    """Tensors whose ranges are needed but not in the file."""
    uses = Uses(*model.graphs)
    unread = {t for g in model.graphs for t in g.inputs if not uses.of(t) and t not in uses.outputs}
    return [t for t in observed_tensors(model, float_ends) if t not in known and t not in unread]


def drawn_inputs(prepared: Prepared, known: Mapping[Tensor, Range]) -> tuple[Held, ...]:
    """Random inputs of each entry, within the known ranges, to judge the result on."""
    held = []
    for entry in prepared.loaded.entries:
        own = entry.view(prepared.model)
        spans = [known.get(now) or _coded(given) for now, given in zip(own.main.inputs, entry.inputs, strict=True)]
        held.append(Held([*draw_samples(slots(own, entry.inputs), spans, DRAWN)], total=DRAWN, drawn=True))
    return tuple(held)


def _coded(t: Tensor) -> Range | None:
    return representable(t.quant, t.dtype) if codes(t) and t.quant is not None and not t.quant.per_channel else None
