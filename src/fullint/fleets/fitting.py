"""Whether samples that are given for many models fit each of them: found out before the first is run."""

from __future__ import annotations

from collections.abc import Sequence

from fullint.calibration.samples import ImageOptions, Reading, open_samples, slots
from fullint.calibration.signatures import Entry, samples_of
from fullint.errors import FullintError, SamplesError, UsageError
from fullint.fleets.jobs import Job
from fullint.model.tflite import is_tflite
from fullint.options import numbers
from fullint.quantization.load import read_runnable


def require_fitting(jobs: Sequence[Job]) -> None:
    """Read the first sample for each model. Models that cannot be read are left to their own run.

    Raises:
        SamplesError, UsageError: samples do not fit a model, which is named.
    """
    for job in jobs:
        if job.options.get("samples") is not None and is_tflite(job.models[0]):
            _try(job)


def _try(job: Job) -> None:
    options = job.options
    try:
        model, *_ = read_runnable(job.models[0])
    except FullintError:
        return
    entries = [Entry.of(model, number, job.models[0]) for number in range(len(model.entries))]
    images = ImageOptions(numbers(options.get("mean", 0.0)), numbers(options.get("std", 255.0)), options.get("layout", "NHWC"))
    for entry in entries:
        try:
            own = samples_of(options["samples"], entry, entries)
            opened = open_samples(
                own, slots(entry.view(model), entry.inputs), Reading(None, images, int(options.get("batch") or 1))
            )
            next(iter(opened), None)
        except (SamplesError, UsageError) as e:
            raise type(e)(f"{job.name}: {e}") from e
