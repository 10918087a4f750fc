"""What calibration is to measure of a prepared model, and what the model takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fullint.calibration.observed import observed_tensors
from fullint.calibration.range_methods import RangeMethod
from fullint.calibration.run import Wanted
from fullint.errors import SamplesError
from fullint.model.ir import Array, Op, Tensor
from fullint.ops import traits_of
from fullint.quantization.pairs import operators_to_refine, sample_count
from fullint.quantization.range_selection import methods_for, to_be_tried
from fullint.quantization.stage_values import Prepared
from fullint.quantization.streams import Stream, streams
from fullint.verification.kernel_outputs import as_read


@dataclass(frozen=True, eq=False)
class ToMeasure:
    """What is to be measured, and why.

    Attributes:
        prepared: the model.
        tensors: whose ranges are wanted.
        streams: that may be equalized, whose channels' ranges are wanted.
        methods: that were chosen.
        others: methods that are tried by the best effort.
        idle: choices without effect, in sentences.
        compares: whether integers are compared somewhere.
    """

    prepared: Prepared
    tensors: Sequence[Tensor]
    streams: tuple[Stream, ...]
    methods: Mapping[Tensor, RangeMethod]
    others: Mapping[Tensor, RangeMethod]
    idle: tuple[str, ...]
    compares: bool

    @property
    def wanted(self) -> Wanted:
        """What the samples are to show."""
        model, pinned = self.prepared.model, self.prepared.pinned
        by_channel = {t for s in self.streams for t in s.tensors if t.shape[-1] == s.channels}
        keep = sample_count(model, operators_to_refine(model.main, self.prepared.effort, pinned))
        return Wanted(self.tensors, by_channel, keep, {**self.others, **self.methods}, pinned)

    def without_others(self, known: Sequence[Tensor]) -> ToMeasure:
        """The same, but only those methods are tried that tensors are known to have been measured for."""
        return replace(self, others={t: m for t, m in self.others.items() if t in known})

    def ready(self, number: int, sample: list[Array]) -> list[Array]:
        """A sample of an entry as the prepared model takes it.

        Raises:
            SamplesError: an input that carries ids is given something else.
        """
        return self.each_ready[number](sample)

    @functools.cached_property
    def each_ready(self) -> list[Callable[[list[Array]], list[Array]]]:
        """`ready` of each entry, as a function that another process can have."""
        ends = zip(self.prepared.loaded.entries, self.prepared.model.entries, strict=True)
        return [functools.partial(as_taken, e.inputs, tuple(graph.inputs), self.compares) for e, graph in ends]


def to_measure(prepared: Prepared) -> ToMeasure:
    """What calibration is to measure."""
    model, options = prepared.model, prepared.loaded.options
    found = tuple(s for s in streams(model.main) if prepared.pinned.keys().isdisjoint(s.tensors))
    measured = observed_tensors(model, options.float_ends)
    methods, idle = methods_for(model, measured, prepared.ranges, prepared.is_wide, options.activations)
    searched = options.effort == "best" and options.activations == "int8"
    others = to_be_tried(model, measured, methods, prepared.is_wide) if searched else {}
    compares = any(traits_of(op.kind).compares and _reads_int32(op) for _, op in model.ops())
    return ToMeasure(prepared, measured, found, methods, others, idle, compares)


def as_taken(given: Sequence[Tensor], now: Sequence[Tensor], whole: bool, sample: list[Array]) -> list[Array]:
    """A sample for inputs `given` as inputs `now` take it; `whole`: see `require_ids`."""
    require_ids(sample, given, now, whole=whole)
    return as_read(sample, given, now)


def _reads_int32(op: Op) -> bool:
    return any(t is not None and t.dtype == "int32" for t in op.inputs)


def require_ids(sample: Sequence[Array], given: Sequence[Tensor], now: Sequence[Tensor], *, whole: bool) -> None:
    """Raise SamplesError where a float input that carries ids is given something that int32 does not hold.

    Fractions are dropped, as the CAST of the model does; but they count where something is compared (`whole`).
    """
    for array, before, after in zip(sample, given, now, strict=True):
        if before.dtype != "float32" or after.dtype != "int32":
            continue
        if (np.abs(array) >= 2**31).any() or (whole and (array != np.trunc(array)).any()):
            raise SamplesError(
                f'input "{before.name}" carries ids, since the model makes integers of it, and the result takes int32; a sample '
                "holds fractions, or numbers that int32 does not hold; give whole numbers, as the application does"
            )
