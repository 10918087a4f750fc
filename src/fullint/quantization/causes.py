"""Why a result is not good enough, found out in the run: where accuracy is lost, and what was tried against it."""

from __future__ import annotations

from collections.abc import Sequence

from fullint.documents import many
from fullint.model.ir import Array
from fullint.passes.as_trained import Rounding
from fullint.quantization.figures import figures_of_result
from fullint.quantization.mixed import could_mix, seconds_to_mix, would_reach
from fullint.quantization.stage_values import Written
from fullint.quantization.trial_costs import seconds_of_advice, trial_seconds
from fullint.quantization.ways_out import HELPS_DB, Needed, Tried, ways_for_outputs, ways_for_parts
from fullint.quantization.weight_limit import of_weights, weights_limit
from fullint.quantization.workbench import Workbench
from fullint.verification.kernel_outputs import as_read
from fullint.verification.layer_errors import LostAt, worst_operators
from fullint.verification.report import Certificate

STAGE = "advise"
SHOWN = 8
"""Samples on which ways out are tried."""


class FoundCauses:
    """The causes of one result; see `acceptance.Causes`.

    Args:
        bench: tools of the run.
        written: the result.
        certificate: of the result.
        samples: those that judged it, or the first of them, as the given model takes them.
    """

    def __init__(self, bench: Workbench, written: Written, certificate: Certificate, samples: Sequence[Sequence[Array]]) -> None:
        self.bench, self.written, self.certificate = bench, written, certificate
        calibrated = written.assigned.calibrated
        given = calibrated.prepared.loaded.entries[0].inputs
        few = [as_read(s, given, calibrated.model.main.inputs) for s in samples[:SHOWN]]
        calibrating = [sample for _, sample in calibrated.held[0].also]
        self.needed = Needed(bench, written, few, calibrating or [list(s) for s in samples])
        self.effort = calibrated.prepared.loaded.options.effort

    @property
    def thorough(self) -> bool:
        """Not where the effort is fast: these trials take as long as the run."""
        return self.effort != "fast"

    def of_parts(self, *, refused: bool) -> str:
        """What was tried to keep parts of outputs, as a sentence; "" where nothing was or could be."""
        with self.bench.trials(STAGE):
            ways = ways_for_parts(self.needed, self.certificate, seconds_of_advice(self.effort, refused=refused))
            return "; ".join(s for s in (self._said([t for t in ways.tried if t.helps]), self._not_tried(ways.left)) if s)

    def of_outputs(self, names: Sequence[str], *, ways: bool, refused: bool) -> list[str]:
        """Where the accuracy of these outputs is lost, and what was tried, as sentences.

        Only the main entry is looked into: of a model with several signatures, the others are on their own.
        """
        own = {t.name for t in self.written.emitted.model.main.outputs}
        if own.isdisjoint(names):
            return []
        with self.bench.trials(STAGE):
            return self._of_outputs(seconds_of_advice(self.effort, refused=refused), ways=ways)

    def _of_outputs(self, seconds: float, *, ways: bool) -> list[str]:
        emitted, model = self.written.emitted, self.written.assigned.calibrated.model
        workers = self.bench.worker, self.bench.second_worker()
        lost = worst_operators(model, emitted.model, emitted.int8, self.needed.samples, workers, self._rounding())
        said = [f"most accuracy is lost at: {'; '.join(map(str, lost)) or 'no operator stands out'}"]
        if not self.needed.samples:
            return said
        time = seconds - 2 * trial_seconds(model, len(self.needed.samples))
        now, limit = (self._now(), self._weights_limit()) if time >= 0 else (0.0, None)
        if ways:
            return [*said, *self._of_ways(lost, now, limit, time)]
        return [*said, *(text for text in (of_weights(limit, now),) if text)]

    def _of_ways(self, lost: Sequence[LostAt], now: float, limit: float | None, time: float) -> list[str]:
        """Whether the weights are the limit, and what other forms of the run give, as long as there is time."""
        ways = ways_for_outputs(self.needed, lost, now, time)
        if limit is not None and any(t.figure > limit + HELPS_DB for t in ways.tried if "int16" in t.option):
            limit = None  # it is that of these codes and biases; with finer activations they do better
        as_it_is = f", which have {now:.1f} dB as it is"
        found = self._said([t for t in ways.tried if t.helps], as_it_is) or self._said(ways.tried, f"{as_it_is}, and no help")
        given, left = self.needed.calibrated, [*ways.left]
        mixed = ""
        if could_mix(given):
            if ways.seconds + seconds_to_mix(given) <= time:
                mixed = self._mixed()
            else:
                left.append("--mixed")
        return [text for text in (of_weights(limit, now), found, mixed, self._not_tried(left)) if text]

    def _now(self) -> float:
        """Mean SQNR of the result on the samples that ways are tried on, in dB."""
        return figures_of_result(self.bench, self.written, self.needed.samples, self.needed.answers).sqnr

    def _mixed(self) -> str:
        """What 16 bits for some operators would give."""
        given = self.needed.calibrated
        missing = given.prepared.loaded.options.min_sqnr - (self.certificate.sqnr_db or 0.0)
        return would_reach(self.bench, given, max(missing, 0.0))

    def _weights_limit(self) -> float | None:
        """What the weights alone allow, in dB."""
        assigned = self.written.assigned
        given = assigned.calibrated.model, assigned.assignment, self.needed.samples, self.needed.answers, self.bench.worker
        return weights_limit(*given, self.written.refined, self._rounding())

    def _rounding(self) -> Rounding:
        """Of the float model's training."""
        return self.written.assigned.calibrated.prepared.pinned

    def _not_tried(self, left: Sequence[str]) -> str:
        """What there was no time for."""
        why = "with --effort fast" if self.effort == "fast" else "since it takes long"
        return f"not tried {why}: {'; '.join(left)}" if left else ""

    def _said(self, tried: Sequence[Tried], more: str = "") -> str:
        if not tried:
            return ""
        return f"tried on {many(len(self.needed.samples), 'sample')} of this run{more}: {'; '.join(map(str, tried))}"
