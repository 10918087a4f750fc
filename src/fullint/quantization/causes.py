"""Why a result is not good enough, found out in the run: where accuracy is lost, and what was tried against it."""

from __future__ import annotations

from collections.abc import Sequence

from fullint.documents import many
from fullint.model.ir import Array
from fullint.passes.as_trained import Rounding
from fullint.quantization.figures import figures_of_result
from fullint.quantization.mixed import would_reach
from fullint.quantization.stage_values import Written
from fullint.quantization.ways_out import HELPS_DB, Needed, Tried, ways_for_outputs, ways_for_parts
from fullint.quantization.weight_limit import of_weights, weights_limit
from fullint.quantization.workbench import Workbench
from fullint.verification.kernel_outputs import as_read
from fullint.verification.layer_errors import worst_operators
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
        self.needed = Needed(written, few, calibrating or [list(s) for s in samples])

    @property
    def thorough(self) -> bool:
        """Not where the effort is fast: these trials take as long as the run."""
        return self.written.assigned.calibrated.prepared.loaded.options.effort != "fast"

    def of_parts(self) -> str:
        """What was tried to keep parts of outputs, as a sentence; "" where nothing was or could be."""
        with self.bench.trials(STAGE):
            return self._said([t for t in ways_for_parts(self.bench, self.needed, self.certificate) if t.helps])

    def of_outputs(self, names: Sequence[str], *, ways: bool) -> list[str]:
        """Where the accuracy of these outputs is lost, and what was tried, as sentences.

        Only the main entry is looked into: of a model with several signatures, the others are on their own.
        """
        own = {t.name for t in self.written.emitted.model.main.outputs}
        if own.isdisjoint(names):
            return []
        with self.bench.trials(STAGE):
            return self._of_outputs(ways=ways)

    def _of_outputs(self, *, ways: bool) -> list[str]:
        emitted, model = self.written.emitted, self.written.assigned.calibrated.model
        lost = worst_operators(model, emitted.model, emitted.int8, self.needed.samples, self._rounding())
        said = [f"most accuracy is lost at: {'; '.join(map(str, lost)) or 'no operator stands out'}"]
        if not self.needed.samples:
            return said
        now = figures_of_result(self.bench, self.written, self.needed.samples).sqnr
        limit = self._weights_limit()
        tried = ways_for_outputs(self.bench, self.needed, lost, now) if ways else []
        helped = [t for t in tried if t.helps]
        if limit is not None and any(t.figure > limit + HELPS_DB for t in tried if "int16" in t.option):
            limit = None  # it is that of these codes and biases; with finer activations they do better
        as_it_is = f", which have {now:.1f} dB as it is"
        found = self._said(helped, as_it_is) or self._said(tried, f"{as_it_is}, and no help")
        mixed = self._mixed() if ways else ""
        return [*said, *(text for text in (of_weights(limit, now), found, mixed) if text)]

    def _mixed(self) -> str:
        """What 16 bits for some operators would give."""
        given = self.written.assigned.given
        missing = given.prepared.loaded.options.min_sqnr - (self.certificate.sqnr_db or 0.0)
        return would_reach(self.bench, given, max(missing, 0.0))

    def _weights_limit(self) -> float | None:
        """What the weights alone allow, in dB."""
        assigned = self.written.assigned
        given = assigned.calibrated.model, assigned.assignment, self.needed.samples, self.bench.worker
        return weights_limit(*given, self.written.refined, self._rounding())

    def _rounding(self) -> Rounding:
        """Of the float model's training."""
        return self.written.assigned.calibrated.prepared.pinned

    def _said(self, tried: Sequence[Tried], more: str = "") -> str:
        if not tried:
            return ""
        return f"tried on {many(len(self.needed.samples), 'sample')} of this run{more}: {'; '.join(map(str, tried))}"
