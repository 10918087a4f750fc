"""The samples of a run, opened and not yet read."""

from __future__ import annotations

from dataclasses import replace

from fullint.calibration.collect import has_state
from fullint.calibration.samples import ImageOptions, Reading, Samples, open_samples, slots, synthetic
from fullint.calibration.signatures import Entry, samples_of
from fullint.model.ir import Model
from fullint.options import numbers
from fullint.quantization.stage_values import Loaded

SYNTHETIC_SAMPLES = 32


def open_all(loaded: Loaded, model: Model) -> list[Samples]:
    """The samples of each entry of a model, opened and not yet read."""
    o, found = loaded.options, []
    for entry in loaded.entries:
        inputs = slots(entry.view(model), entry.inputs)
        if o.synthetic:
            found.append(synthetic(inputs, o.num_samples or SYNTHETIC_SAMPLES))
        else:
            own = samples_of(loaded.request.samples, entry, loaded.entries)
            found.append(open_samples(own, inputs, replace(reading_of(loaded, entry), in_order=has_state(model))))
    return found


def reading_of(loaded: Loaded, entry: Entry) -> Reading:
    """How the samples of an entry are read."""
    o = loaded.options
    images = ImageOptions(numbers(o.mean), numbers(o.std), o.layout)
    return Reading(o.num_samples, images, o.batch, o.labels if entry.number == 0 else None, o.seed)
