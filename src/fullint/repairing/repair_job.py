"""One repair: the pipeline of `job`, with findings at its start and ranges that come from the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fullint.auditing.audit import Finding, finding, look
from fullint.auditing.rules import Facts, Mend, Rule, Scope
from fullint.auditing.rules.base import weighted
from fullint.calibration.collect import calibrate
from fullint.calibration.observed import given_params, observed_tensors
from fullint.calibration.samples import Split, drawn, slots
from fullint.calibration.signatures import Entry, view
from fullint.calibration.statistics import Measured, Range, merged
from fullint.errors import AccuracyError, Blocker, NotIntegerError, UsageError
from fullint.model.ir import Op, Quant, Tensor, Uses
from fullint.model.numerics import as_activation, representable
from fullint.ops.base import codes
from fullint.ops.structure import check_readable
from fullint.passes.keep_float import choose
from fullint.quantization.assignment import Assignment, Granularity
from fullint.quantization.emit import Emitted
from fullint.quantization.job import Job, Plan, Result
from fullint.quantization.options import Options
from fullint.quantization.report import report_of
from fullint.repairing.interval_bounds import bounds
from fullint.repairing.lift import cancel, lift, stamp_axes
from fullint.reporting import Progress
from fullint.runtime.messages import TensorShapes
from fullint.runtime.process import model_file
from fullint.verification.certificate import real
from fullint.verification.report import Certificate

DRAWN = 16
"""Inputs to judge a result on where there are no samples."""


class RepairJob(Job):
    """One run."""

    strict = False
    each = True
    honours = False
    reference = "the given model"

    def __init__(
        self,
        source: str | Path | bytes,
        samples: Any,
        options: Options,
        progress: Progress | None,
        rules: Sequence[Rule],
        weights: str,
    ) -> None:
        super().__init__(source, samples, options, progress)
        self.rules, self.weights = {rule.name for rule in rules}, weights
        self.planned: list[tuple[Op | Tensor, Finding]] = []
        self.left: set[Op] = set()
        self.assumptions: list[str] = []
        self.loose: dict[Tensor, str] = {}
        self.followed = False
        """Whether some ranges are bounds, and samples would make them narrower."""

    def result(self) -> Result:
        """The repaired model, or the given one where nothing is to be done."""
        self._read()
        if not self.planned:
            return self._unchanged()
        try:
            return self._made()
        except NotIntegerError as e:
            if not self.followed:
                raise
            raise NotIntegerError([replace(b, way_out=f"{_DATA}; or {b.way_out}") for b in e.blockers]) from e

    def _unchanged(self) -> Result:
        for entry in self.entries if self.samples is not None else ():
            self._open_samples(entry)
        self.worker.call(TensorShapes(self.path))
        data = self.source if isinstance(self.source, bytes) else Path(self.source).read_bytes()
        return Result(data, report_of(self, "unchanged", data, Assignment(), Emitted(self.model), None))

    def _read(self) -> None:
        super()._read()
        with self.stage("audit"):
            facts = Facts(self.model)
            found = list(look(facts))
            self.per_tensor = facts.per_tensor and _int8_weights(facts)
            choose(self.model, self.options.keep_float)
            if _computes_in_int16(facts):
                self.options = replace(self.options, activations="int16")
        self._choose(facts, found)
        self.left = {op for _, op in self.model.ops() if op.keep_float}
        check_readable(self.model)

    def _choose(self, facts: Facts, found: Sequence[tuple[Op | Tensor, Rule, Any]]) -> None:
        """Part the findings in those to act on and those to leave, and act on the model, in place."""
        lifted: dict[Op, Rule] = {}
        cancelled: set[Op] = set()
        stamped: set[Op] = set()
        beyond: dict[Op, Blocker] = {}
        for what, rule, f in found:
            mend = f.mend or rule.mend
            if rule.name not in self.rules:
                self._leave(what, rule)
            elif mend is not Mend.NONE:
                self.planned.append((what, finding(what, rule, f, facts)))
            if rule.name not in self.rules or not isinstance(what, Op) or what.keep_float:
                continue
            if mend is Mend.NONE and (f.level or rule.level) == "error" and rule.name != "op-version":
                beyond.setdefault(what, _blocker(facts, what, f.cause, f.fix))
            elif mend is Mend.LIFT:
                if (why := _beyond_mending(what)) is not None:
                    beyond.setdefault(what, _blocker(facts, what, f"{f.cause}; {why}", _FLOAT))
                lifted.setdefault(what, rule)
            elif mend is Mend.CANCEL and all(codes(t) for t in what.values()):
                cancelled.add(what)
            elif mend is Mend.STAMP and rule.name == "malformed-scale":
                stamped.add(what)
        if any(rule.name == "not-quantized" for _, rule, _ in found):
            raise UsageError("nothing in the file is quantized: it is a float model; fullint quantize makes it all integer")
        if beyond:
            raise NotIntegerError(list(beyond.values()))
        self._mend(lifted, cancelled, stamped)

    def _leave(self, what: Op | Tensor, rule: Rule) -> None:
        """What is not to be fixed stays as it is."""
        if isinstance(what, Op) and (rule.mend in (Mend.LIFT, Mend.CANCEL) or Scope.FLOAT in rule.scopes):
            what.keep_float = True
        if rule.mend is Mend.ENDS and self.options.io == "auto":
            self.options = replace(self.options, io="float32")

    def _mend(self, lifted: dict[Op, Rule], cancelled: set[Op], stamped: set[Op]) -> None:
        self.pinned = lift(self.model, set(lifted), ends=any(rule.name == "legacy-uint8" for rule in lifted.values()))
        cancel(self.model, cancelled)
        stamp_axes(stamped)
        faulty = sorted({rule.name for op, rule in lifted.items() if not rule.right and any(map(codes, op.values()))})
        if faulty:
            self.reference = "the given model, its faulty operators read as the file says"
            self.assumptions.append(
                f"{', '.join(faulty)}: the numbers in the file are taken at their word, whatever a runtime makes of them"
            )
        for entry in self.entries if faulty or stamped else ():
            path = self._stack.enter_context(model_file(view(self.model, entry.graph)))
            entry.path, entry.inputs, entry.outputs = path, list(entry.graph.inputs), list(entry.graph.outputs)

    @property
    def fixed(self) -> list[Finding]:
        """The findings that are gone: all that were to be fixed, but for conversions beside what stays float."""
        kept = {op.origin for op in self.left if isinstance(op, Op)}
        return [f for _, f in self.planned if not kept.intersection(f.evidence.get("beside", ()))]

    def _need_samples(self) -> None:
        """None are needed yet."""

    def _granularity(self) -> Granularity:
        return Granularity(self.weights == "per-tensor" or (self.weights == "auto" and self.per_tensor))

    def _measured(self) -> Measured:
        """Ranges: what the file says, then what samples show, or what follows."""
        known = self._known()
        if self.samples is None:
            return self._followed(known)
        for entry in self.entries:
            entry.opened(self._open_samples(entry))
        wanted = self._unknown(known)
        if not wanted:
            return self._judged_only(known)
        with self.stage("calibrate"):
            stats = merged([self._seen(entry, wanted) for entry in self.entries])
            self._warn_of_unseen(stats)
        found = stats.measured
        self.ranges = {**stats.ranges, **known}
        self.assumptions.append(f"the ranges of {len(wanted)} values were measured by running the given model on the samples")
        return Measured(self.ranges, found.row_maxima, found.state)

    def _seen(self, entry: Entry, wanted: list[Tensor]) -> Any:
        model, pairs = view(self.model, entry.graph), list(zip(entry.inputs, entry.graph.inputs, strict=True))
        samples = (
            (index, [real(a, g) if g.dtype != t.dtype else a for a, (g, t) in zip(arrays, pairs, strict=True)])
            for index, arrays in self._counted(entry, keep=False)
        )
        return calibrate(model, wanted, set(), samples, self.worker, self.options.workers)

    def _judged_only(self, known: dict[Tensor, Range]) -> Measured:
        """The file says all: no sample has to calibrate, all of them judge."""
        for entry in self.entries:
            samples = self._open_samples(entry)
            entry.split = Split(samples, held=samples, total=samples.count or 0)
        self.ranges = dict(known)
        return Measured(self.ranges)

    def _followed(self, known: dict[Tensor, Range]) -> Measured:
        """Ranges without samples."""
        with self.stage("bounds"):
            found = bounds(self.model, known, self._evaluate)
        wanted = self._unknown(known)
        unbounded = [t for t in found.unknown if t in wanted]
        if unbounded:
            raise NotIntegerError(self._unbounded(unbounded))
        self.ranges, self.loose = found.ranges, {t: why for t, why in found.loose.items() if t in wanted}
        self.followed = bool(wanted)
        if wanted:
            self.assumptions.append(f"the ranges of {len(wanted)} values follow from their neighbours and from bounds")
        self.assumptions += [f'"{t.name}": its range is a bound on {why}' for t, why in list(self.loose.items())[:8]]
        for entry in self.entries:
            spans = [known.get(t) or self._coded(t) for t in entry.inputs]
            samples = drawn(slots(view(self.model, entry.graph), entry.inputs), spans, DRAWN)
            entry.split = Split(samples, held=samples, total=DRAWN, drawn=True, last=next(iter(drawn(samples.inputs, spans, 1))))
        self.assumptions.append(f"judged on {DRAWN} inputs drawn from what each input can hold: no samples were given")
        return Measured(found.ranges, state=found.state)

    def _coded(self, t: Tensor) -> Range | None:
        return representable(t.quant, t.dtype) if codes(t) and t.quant is not None and not t.quant.per_channel else None

    def _known(self) -> dict[Tensor, Range]:
        """Ranges of float activations that have parameters in the file."""
        found = {t: representable(*given) for t, given in self.pinned.items()}
        uses = Uses(*self.model.graphs)
        for t in observed_tensors(self.model):
            asked = [as_activation(op.outputs[0]) if op.kind == "QUANTIZE" else None for op, _ in uses.of(t)]
            first = asked[0] if asked and t not in uses.outputs else None
            if first is not None and all(a is not None and first[0].same_as(a[0]) and first[1] == a[1] for a in asked):
                found[t] = representable(*first)  # where others read it, too, the QUANTIZE may cut off what they see
        for _, op in self.model.ops():
            if (given := given_params(op)) is not None:
                found[op.outputs[0]] = representable(*given)
        return found

    def _unknown(self, known: dict[Tensor, Range]) -> list[Tensor]:
        """Values whose ranges are needed and not in the file; within a part that stays float none is."""
        uses = Uses(*self.model.graphs)
        inside = {
            t
            for t, op in uses.producer.items()
            if op.keep_float and t not in uses.outputs and all(reader.keep_float for reader, _ in uses.of(t))
        }
        unread = {t for g in self.model.graphs for t in g.inputs if not uses.of(t) and t not in uses.outputs}
        return [t for t in observed_tensors(self.model) if t not in known and t not in inside and t not in unread]

    def _unbounded(self, unknown: Sequence[Tensor]) -> list[Blocker]:
        """One refusal for each operator that makes, or first reads, a value nothing bounds."""
        uses = Uses(*self.model.graphs)
        blocked: dict[Op, Blocker] = {}
        for t in unknown:
            op = uses.producer.get(t) or next((r for r, _ in uses.of(t)), None)
            if op is None:
                continue
            number = next(i for i, g in enumerate(self.model.graphs) if op in g.ops)
            cause = f'nothing in the file bounds "{t.name}"'
            which = op.origin if not number and op.origin >= 0 else op.output_name or op.kind
            end = any(t in g.inputs for g in self.model.graphs)  # an int8 input needs a range, whoever reads it
            way_out = _DATA if end else f"{_DATA}; or leave it in float: --keep-float {which}"
            blocked.setdefault(op, Blocker(number, op.origin, op.kind, op.output_name, cause, way_out))
        return list(blocked.values())

    def _judge(self, certificate: Certificate, planned: Plan, emitted: Emitted) -> None:
        """As after `quantize`; what is lost to wide bounds asks for samples."""
        if self.loose and self.samples is None:
            self.warnings.append(
                f"{len(self.loose)} ranges are bounds on sums, and the inputs were drawn: real ones may lose more; -c DATA tells"
            )
        try:
            super()._judge(certificate, planned, emitted)
        except AccuracyError as e:
            if not self.followed:
                raise
            names = (
                ", ".join(f'"{t.name}" ({why})' for t, why in list(self.loose.items())[:4]) or "values between float operators"
            )
            raise AccuracyError(f"{e}\n  bounds are too wide without samples: {names}\n  try: -c DATA") from e


_DATA = "give samples, to run the given model on: -c DATA"
_FLOAT = "quantize the float model again"


def _blocker(facts: Facts, op: Op, cause: str, way_out: str) -> Blocker:
    return Blocker(facts.place[op][0], op.origin, op.kind, op.output_name, cause, way_out)


def _beyond_mending(op: Op) -> str | None:
    """Why an operator cannot be read as what it means, or None."""
    if any(t.is_variable for t in op.values()):
        return "its state is integer, and means nothing by itself"
    bad = [t for t in op.values() if codes(t) and t.quant is not None and not _sound(t.quant)]
    return f'the scale of "{bad[0].name}" says nothing' if bad else None


def _sound(quant: Quant) -> bool:
    return bool(np.isfinite(quant.scale).all() and (quant.scale > 0).all())


def _computes_in_int16(facts: Facts) -> bool:
    """Whether the file's activations are int16."""
    kinds = [t.dtype for op in facts.place for t in op.outputs if codes(t) and not t.is_variable]
    return bool(kinds) and kinds.count("int16") > len(kinds) / 2


def _int8_weights(facts: Facts) -> bool:
    """Whether the file has int8 weights, whose scales can be followed."""
    found = (weighted(op) for op in facts.place)
    return any(w is not None and w[2].dtype == "int8" and codes(w[2]) for w in found)
