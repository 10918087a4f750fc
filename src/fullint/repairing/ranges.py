"""Ranges of a repair: what the file says, then what samples show, or what follows.

parameters around each float island      known
inside, with samples                     measured by running the given model
inside, without                          what follows from neighbours, and bounds (`interval_bounds`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fullint.calibration.observed import given_range, observed_tensors
from fullint.calibration.run import Wanted, calibrate_entries
from fullint.calibration.samples import Held, draw_samples, slots
from fullint.calibration.statistics import Measured
from fullint.errors import Blocker, NotIntegerError
from fullint.model.ir import Array, Model, Op, Tensor, Uses
from fullint.model.numerics import as_activation, representable
from fullint.model.ranges import Range
from fullint.ops.base import codes
from fullint.quantization.decide import GIVE_SAMPLES
from fullint.quantization.measure import open_all, warn_of_unseen
from fullint.quantization.stage_values import Calibrated, Prepared
from fullint.quantization.workbench import Workbench
from fullint.repairing.interval_bounds import bounds
from fullint.verification.kernel_outputs import real

DRAWN = 16
"""Inputs to judge a result on where there are no samples."""
NAMED = 8
"""Bounds that are named one by one among the assumptions."""


def find_ranges(bench: Workbench, prepared: Prepared) -> Calibrated:
    """Ranges of all values that need one.

    Raises:
        NotIntegerError: nothing in the file bounds a value, and there are no samples.
    """
    known = known_ranges(prepared)
    if prepared.loaded.request.samples is None:
        return _follow(bench, prepared, known)
    wanted = _unknown(prepared.model, known)
    if not wanted:
        held = tuple(Held(samples, total=samples.count or 0) for samples in open_all(prepared.loaded, prepared.model))
        return Calibrated(prepared, prepared.model, Measured(known), held)  # the file says all: all samples judge
    return _measure(bench, prepared, known, wanted)


def _measure(bench: Workbench, prepared: Prepared, known: dict[Tensor, Range], wanted: list[Tensor]) -> Calibrated:
    """Ranges of what is wanted, by running the given model."""
    loaded, model = prepared.loaded, prepared.model

    def ready(number: int, sample: list[Array]) -> list[Array]:
        """Codes as the numbers they stand for, where an input was lifted."""
        given = zip(sample, model.entries[number].inputs, loaded.entries[number].inputs, strict=True)
        return [real(a, t) if t.dtype != now.dtype else a for a, now, t in given]

    samples = open_all(loaded, model)
    with bench.stage("calibrate"):
        done = calibrate_entries(model, samples, Wanted(wanted), bench.worker, loaded.options.workers, bench.progress, ready)
    measured = replace(done.stats.measured, ranges={**done.stats.ranges, **known})
    said = f"the ranges of {len(wanted)} values were measured by running the given model on the samples"
    warnings = warn_of_unseen(done.stats.unseen)
    return Calibrated(prepared, model, measured, done.held, warnings=warnings, assumptions=(said,), digest=done.digest)


def _follow(bench: Workbench, prepared: Prepared, known: dict[Tensor, Range]) -> Calibrated:
    """Ranges without samples; inputs are drawn to judge the result on."""
    model, entries = prepared.model, prepared.loaded.entries
    with bench.stage("bounds"):
        found = bounds(model, known, bench.evaluate)
    wanted = _unknown(model, known)
    unbounded = [t for t in found.unknown if t in wanted]
    if unbounded:
        raise NotIntegerError(_unbounded(model, unbounded))
    loose = {t: why for t, why in found.loose.items() if t in wanted}
    assumptions = [f"the ranges of {len(wanted)} values follow from their neighbours and from bounds"] if wanted else []
    assumptions += [f'"{t.name}": its range is a bound on {why}' for t, why in list(loose.items())[:NAMED]]
    held = []
    for entry in entries:
        own = entry.view(model)
        spans = [known.get(now) or _coded(given) for now, given in zip(own.main.inputs, entry.inputs, strict=True)]
        inputs = slots(own, entry.inputs)
        last = next(iter(draw_samples(inputs, spans, 1)))
        held.append(Held(draw_samples(inputs, spans, DRAWN), total=DRAWN, drawn=True, last=last))
    assumptions.append(f"judged on {DRAWN} inputs drawn from what each input can hold: no samples were given")
    return Calibrated(
        prepared,
        model,
        Measured(found.ranges, state=found.state),
        tuple(held),
        bounded=bool(wanted),
        loose=loose,
        assumptions=tuple(assumptions),
    )


def _coded(t: Tensor) -> Range | None:
    return representable(t.quant, t.dtype) if codes(t) and t.quant is not None and not t.quant.per_channel else None


def known_ranges(prepared: Prepared) -> dict[Tensor, Range]:
    """Ranges of float activations that have parameters in the file."""
    model = prepared.model
    found = {t: representable(*given) for t, given in prepared.pinned.items()}
    uses = Uses(*model.graphs)
    for t in observed_tensors(model):
        asked = [as_activation(op.outputs[0]) if op.kind == "QUANTIZE" else None for op, _ in uses.of(t)]
        first = asked[0] if asked and t not in uses.outputs else None
        if first is not None and all(a is not None and first[0].same_as(a[0]) and first[1] == a[1] for a in asked):
            found[t] = representable(*first)  # where others read it, too, the QUANTIZE may cut off what they see
    for _, op in model.ops():
        if (span := given_range(op)) is not None:
            found[op.outputs[0]] = span
    return found


def _unknown(model: Model, known: Mapping[Tensor, Range]) -> list[Tensor]:
    """Values whose ranges are needed and not in the file; within a part that stays float none is."""
    uses = Uses(*model.graphs)
    inside = {
        t
        for t, op in uses.producer.items()
        if op.keep_float and t not in uses.outputs and all(reader.keep_float for reader, _ in uses.of(t))
    }
    unread = {t for g in model.graphs for t in g.inputs if not uses.of(t) and t not in uses.outputs}
    return [t for t in observed_tensors(model) if t not in known and t not in inside and t not in unread]


def _unbounded(model: Model, unknown: Sequence[Tensor]) -> list[Blocker]:
    """One refusal for each operator that makes, or first reads, a value nothing bounds."""
    uses = Uses(*model.graphs)
    blocked: dict[Op, Blocker] = {}
    for t in unknown:
        op = uses.producer.get(t) or next((r for r, _ in uses.of(t)), None)
        if op is None:
            continue
        number = next(i for i, g in enumerate(model.graphs) if op in g.ops)
        cause = f'nothing in the file bounds "{t.name}"'
        which = op.origin if not number and op.origin >= 0 else op.output_name or op.kind
        end = any(t in g.inputs for g in model.graphs)  # an int8 input needs a range, whoever reads it
        way_out = GIVE_SAMPLES if end else f"{GIVE_SAMPLES}; or leave it in float: --keep-float {which}"
        blocked.setdefault(op, Blocker(number, op.origin, op.kind, op.output_name, cause, way_out))
    return list(blocked.values())
