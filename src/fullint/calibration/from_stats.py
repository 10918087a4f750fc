"""A calibration of what a file says that samples have shown (`stats_files`), and the way back.

    Calibration  --stats_of-->  CalibrationStats  --calibration_of(model)-->  Calibration

Where the samples at hand are those of the file, the second calibration is the first. Others only judge and refine; ranges are
then made of all samples of the file, those that it holds back among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fullint.calibration.collect import Collected, has_state, held_number, probed, state_tensors
from fullint.calibration.entry_stats import EntryStats, InputStats, Stretch, arranged
from fullint.calibration.input_values import InputValues, some_values
from fullint.calibration.probes import Probe, Seen
from fullint.calibration.run import Calibration, Ready, Wanted, digest_of_entries
from fullint.calibration.samples import Held, Samples, Slot, split
from fullint.calibration.samples.spread import Spread
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.calibration.signatures import view
from fullint.calibration.statistics import Statistics, Stats, finish, tensor_keys
from fullint.calibration.stats_files import CalibrationStats
from fullint.calibration.value_keys import value_keys
from fullint.errors import SamplesError, UsageError
from fullint.model.ir import Array, Model, Tensor


def stats_of(model: Model, done: Calibration) -> CalibrationStats:
    """What a calibration has seen.

    Args:
        model: that was calibrated.
        done: the calibration, no sample left out.

    Raises:
        SamplesError: a sample that was held back drives a value to NaN or infinity.
    """
    keys = value_keys(model)
    return CalibrationStats(tuple(_entry_stats(model, done, keys, number) for number in range(len(done.views))))


def _entry_stats(model: Model, done: Calibration, keys: Mapping[Tensor, str], number: int) -> EntryStats:
    collected, held = done.collected[number], done.held[number]
    stretches = tuple(_stretch(p, keys) for p in collected.probes) if collected is not None else ()
    _require_finite(collected, held)
    held_runs = held.runs if held.held_back else ()
    inputs = []
    for place, t in enumerate(model.entries[number].inputs):
        values = ValuesSeen(done.seen[number][place].slot)
        taken = [*done.inputs.values.get(t, ())]
        for at, sample in enumerate(held.samples if held.held_back else ()):
            values.add(sample[place])
            if sample[place].dtype == np.float32:
                taken.append((held_number(at), some_values(sample[place])))
        inputs.append(InputStats(tuple(taken), done.seen[number][place].counted, values.counted))
    found = collected.found if collected is not None else None
    runs = held.calibrated_runs
    return EntryStats(stretches, found, tuple(inputs), ((0, len(runs)),), runs, held_runs, held.total, held.digest)


def _require_finite(collected: Collected | None, held: Held) -> None:
    for place, vector in collected.found.held.items() if collected is not None else ():
        if not np.isfinite(vector).all():
            raise SamplesError(f"sample {held.runs[place]} drives a value to something that is not finite")


def _stretch(p: Probe, keys: Mapping[Tensor, str]) -> Stretch:
    return Stretch(keys[p.tensor], p.what, p.size, p.tensor.name)


def calibration_of(
    stats: CalibrationStats,
    model: Model,
    wanted: Wanted,
    keys: Mapping[Tensor, str],
    slots: Sequence[Sequence[Slot]],
    samples: Sequence[Samples],
    ready: Ready,
    seed: int,
) -> Calibration:
    """A calibration on samples that are not here.

    Args:
        stats: what they have shown.
        model: prepared.
        wanted: what is to be known of it.
        keys: of its values (`value_keys`).
        slots: inputs of each entry.
        samples: of each entry, those that are here to refine and to judge, if there are any.
        ready: makes a sample what the model takes.
        seed: of the draw of samples that are held back.

    Raises:
        UsageError: they are of another network, or something else was measured; it names the first value that they lack.
    """
    if len(stats.entries) != len(model.entries):
        raise UsageError(f"they are of a network with {len(stats.entries)} signatures, this one has {len(model.entries)}")
    kept = Spread(wanted.keep, in_order=has_state(model))
    held = tuple(_split(own, kept, ready, n, seed) for n, own in enumerate(samples))
    same = bool(held) and all(h.digest == e.digest for h, e in zip(held, stats.entries, strict=True))
    used = stats if same else stats.folded()
    views = tuple(view(model, graph) for graph in model.entries)
    collected = tuple(_collected(e, own, wanted, keys) for e, own in zip(used.entries, views, strict=True))
    each = tuple(_stats(own, c, e) for own, c, e in zip(views, collected, used.entries, strict=True))
    inputs, seen = InputValues(), []
    for graph, entry, own_slots in zip(model.entries, used.entries, slots, strict=True):
        if len(entry.inputs) != len(own_slots):
            raise UsageError(f"they are of a network with {len(entry.inputs)} inputs, this one has {len(own_slots)}")
        seen.append(tuple(_seen(slot, one) for slot, one in zip(own_slots, entry.inputs, strict=True)))
        for t, one in zip(graph.inputs, entry.inputs, strict=True):
            for number, values in one.taken:
                if number >= 0:  # not held back
                    inputs.take(t, number, values)
    digest = digest_of_entries([e.digest for e in used.entries])
    return Calibration(each, held, kept.samples(), inputs, digest, collected, views, tuple(seen), elsewhere=not same)


def values_known(stats: CalibrationStats, keys: Mapping[Tensor, str]) -> list[Tensor]:
    """Tensors of which statistics have all values, and not only the smallest and the largest."""
    known = {s.key for entry in stats.entries for s in entry.stretches if s.what is Seen.VALUES}
    return [t for t, key in keys.items() if key in known]


def _split(samples: Samples, kept: Spread, ready: Ready, number: int, seed: int) -> Held:
    def add(index: int, sample: list[Array], run: int) -> None:
        ready(number, sample)
        if number == 0:
            kept.add(index, sample)

    return split(samples, add, seed, in_order=kept.in_order)


def _collected(entry: EntryStats, own: Model, wanted: Wanted, keys: Mapping[Tensor, str]) -> Collected | None:
    """What was measured, arranged as this network's own calibration would have it."""
    _, probes = probed(own, wanted.tensors, wanted.by_channel, set(wanted.methods))
    if not probes:
        return None
    if entry.found is None:
        raise UsageError(f'there is nothing of "{probes[0].tensor.name}"')
    places = {t: i for i, t in enumerate(keys)}
    first = sorted(probes, key=lambda p: places[p.tensor])  # what is lacking is named in the order of the network
    known = {s.place for s in entry.stretches}
    lacking = next((p for p in first if (keys[p.tensor], p.what) not in known), None)
    if lacking is not None:
        raise UsageError(_lacking(own, lacking))
    found = arranged(entry, [_stretch(p, keys) for p in probes])
    for start, _, method in found.methods:
        t = next(p.tensor for p in probes if p.what is Seen.VALUES and p.start == start)
        if method.spelling != wanted.methods[t].spelling:
            raise UsageError(f'the range of "{t.name}" was measured for {method.spelling}, not for {wanted.methods[t].spelling}')
    return Collected(probes, found, tensor_keys(own), set(state_tensors(own)), entry.numbers)


def _lacking(own: Model, probe: Probe) -> str:
    t = probe.tensor
    made = next((op for _, op in own.ops() if t in op.outputs), None)
    by = f", which {made.kind} {made.origin} makes," if made is not None else ""
    return f'there is nothing of "{t.name}"{by} and so of the values behind it'


def _stats(own: Model, collected: Collected | None, entry: EntryStats) -> Stats:
    found = Statistics(entry.count, {}, numbers=entry.numbers) if collected is None else collected.statistics()
    return finish(own, found)


def _seen(slot: Slot, one: InputStats) -> ValuesSeen:
    values = ValuesSeen(slot)
    values.take(one.seen)
    return values
