"""Samples measured in shards by the workers of a cluster."""

from __future__ import annotations

from collections.abc import Sequence

from fullint.calibration.run import Calibration
from fullint.calibration.samples import Samples
from fullint.calibration.shard_run import calibrate_in_shards, can_be_sharded
from fullint.calibration.shards import SampleFile
from fullint.calibration.signatures import samples_of
from fullint.cluster.connection import Cluster
from fullint.quantization.opened import reading_of
from fullint.quantization.stage_values import Loaded
from fullint.quantization.wanted import ToMeasure
from fullint.quantization.workbench import Workbench

NOT_SHARDED = (
    "scheduler: the samples were measured here: their number is not known before, or each run depends on the one before, "
    "or a signature has nothing to be measured"
)


def measured_on_cluster(bench: Workbench, asked: ToMeasure, samples: Sequence[Samples]) -> Calibration | None:
    """What all samples show, bit for bit what one process would have seen; None where they cannot be measured apart.

    Raises:
        UsageError: there is no such cluster, or a worker has other releases, or cannot read the samples.
        SamplesError: samples do not fit, or drive a value to NaN or infinity.
    """
    prepared, options = asked.prepared, asked.prepared.loaded.options
    if options.scheduler is None or not can_be_sharded(prepared.model, samples, asked.wanted):
        return None
    sources = _sources(prepared.loaded, samples) if options.shared else [None for _ in samples]
    with Cluster(options.scheduler) as cluster:
        cluster.require_readable([s.path for s in sources if s is not None])
        given = (samples, sources, asked.each_ready, asked.wanted, cluster, bench.progress, options.seed)
        return calibrate_in_shards(prepared.model, *given)


def _sources(loaded: Loaded, samples: Sequence[Samples]) -> list[SampleFile]:
    """Where workers read the samples themselves.

    Raises:
        UsageError: they are in no file.
    """
    found = []
    for entry, own in zip(loaded.entries, samples, strict=True):
        given = None if loaded.options.synthetic else samples_of(loaded.request.samples, entry, loaded.entries)
        found.append(SampleFile.of(given, own.inputs, reading_of(loaded, entry)))
    return found
