"""The select stage: choose the findings to fix and lift the faulty operators.

Loaded --audit--> findings --fix or leave--> Selected: faulty operators rewritten in float, as the file defines them
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fullint.auditing.audit import Finding, finding, look
from fullint.auditing.rules import Facts, Mend, Rule, Scope
from fullint.auditing.rules.base import Found
from fullint.calibration.signatures import Entry
from fullint.errors import Blocker, NotIntegerError, UsageError
from fullint.model.ir import Model, Op, Quant, Tensor
from fullint.model.subgraphs import copy_model
from fullint.ops.base import codes
from fullint.ops.operands import weighted
from fullint.ops.structure import check_readable
from fullint.options import QuantizeOptions
from fullint.passes.named_operators import keep_in_float
from fullint.quantization.assignment import Granularity
from fullint.quantization.stage_values import Loaded, Request
from fullint.quantization.workbench import Workbench
from fullint.repairing.lift import cancel, lift, stamp_axes

QUANTIZE_AGAIN = "quantize the float model again"


@dataclass(frozen=True)
class RepairRequest(Request):
    """A request with the options that only `repair` has.

    Attributes:
        rules: names of the rules whose findings to fix.
        weights: "auto", "per-channel" or "per-tensor".
    """

    rules: frozenset[str] = frozenset()
    weights: str = "auto"


@dataclass(frozen=True)
class Selected(Loaded):
    """The model with faulty operators lifted.

    Attributes:
        planned: the findings to fix.
        left: indices, in the input file, of operators that stay float.
        beyond: the operators that cannot be repaired, with the cause; if there are any, no operator has been lifted.
    """

    planned: tuple[Finding, ...] = ()
    left: frozenset[int] = frozenset()
    beyond: tuple[Blocker, ...] = ()

    @property
    def fixed(self) -> list[Finding]:
        """The planned findings without those about conversions next to an operator that stays float."""
        return [f for f in self.planned if self.left.isdisjoint(f.evidence.get("beside", ()))]


@dataclass(frozen=True)
class _Verdict:
    """What to do with each operator.

    Attributes:
        planned: findings to fix.
        keep: operators to leave as they are.
        lifted: operators to lift -> the rule that requires it.
        cancelled: conversions to remove.
        stamped: operators with a vector whose scales run along the wrong axis.
        beyond: operators that cannot be repaired -> their blocker.
        float_io: whether inputs and outputs stay float.
    """

    planned: tuple[Finding, ...]
    keep: frozenset[Op]
    lifted: dict[Op, Rule]
    cancelled: frozenset[Op]
    stamped: frozenset[Op]
    beyond: dict[Op, Blocker]
    float_io: bool


def select(bench: Workbench, loaded: Loaded) -> Selected:
    """Divide the findings into those to fix and those to leave, and lift the faulty operators.

    Raises:
        UsageError: nothing in the file is quantized.
        ModelFormatError: a fault that is not fixed makes the file unreadable.
    """
    request = loaded.request
    assert isinstance(request, RepairRequest)
    with bench.stage("audit"):
        model, _ = copy_model(loaded.model)
        facts = Facts(model)
        found = list(look(facts))
        keep_in_float(model, loaded.options.keep_float)
        options = replace(loaded.options, activations="int16") if _computes_in_int16(facts) else loaded.options
        granularity = Granularity(_one_scale_per_tensor(request.weights, facts))
    verdict = _decide(found, request.rules, facts)
    if any(rule.name == "not-quantized" for _, rule, _ in found):
        raise UsageError("nothing in the file is quantized, so there is nothing to repair: use fullint quantize")
    if verdict.beyond:
        return Selected(**vars(loaded), planned=verdict.planned, beyond=tuple(verdict.beyond.values()))
    selected = _mend(bench, loaded, model, verdict, _options(options, verdict), granularity)
    check_readable(model)
    return selected


def require_mendable(bench: Workbench, selected: Selected) -> Selected:
    """Raise NotIntegerError if an operator cannot be repaired."""
    if selected.beyond:
        raise NotIntegerError(list(selected.beyond))
    return selected


def _options(options: QuantizeOptions, verdict: _Verdict) -> QuantizeOptions:
    return replace(options, io="float32") if verdict.float_io and options.io == "auto" else options


def _decide(found: Sequence[tuple[Op | Tensor, Rule, Found]], rules: Collection[str], facts: Facts) -> _Verdict:
    """Decide what to do about each finding, without changing the model."""
    planned: list[Finding] = []
    keep = {op for op in facts.place if op.keep_float}
    lifted: dict[Op, Rule] = {}
    cancelled, stamped = set[Op](), set[Op]()
    beyond: dict[Op, Blocker] = {}
    float_io = False
    for what, rule, f in found:
        mend = f.mend or rule.mend
        if rule.name not in rules:
            keep |= _left(what, rule)
            float_io |= rule.mend is Mend.ENDS
            continue
        if mend is not Mend.NONE:
            planned.append(finding(what, rule, f, facts))
        if not isinstance(what, Op) or what in keep:
            continue
        if mend is Mend.NONE and (f.level or rule.level) == "error" and rule.name != "op-version":
            beyond.setdefault(what, _blocker(facts, what, f.cause, f.fix))
        elif mend is Mend.LIFT:
            if (why := _beyond_mending(what)) is not None:
                beyond.setdefault(what, _blocker(facts, what, f"{f.cause}; {why}", QUANTIZE_AGAIN))
            lifted.setdefault(what, rule)
        elif mend is Mend.CANCEL and all(codes(t) for t in what.values()):
            cancelled.add(what)
        elif mend is Mend.STAMP and rule.name == "malformed-scale":
            stamped.add(what)
    return _Verdict(tuple(planned), frozenset(keep), lifted, frozenset(cancelled), frozenset(stamped), beyond, float_io)


def _left(what: Op | Tensor, rule: Rule) -> set[Op]:
    """The operator to leave as it is because its finding is not to be fixed, if any."""
    stays = rule.mend in (Mend.LIFT, Mend.CANCEL) or Scope.FLOAT in rule.scopes
    return {what} if stays and isinstance(what, Op) else set()


def _mend(
    bench: Workbench, loaded: Loaded, model: Model, verdict: _Verdict, options: QuantizeOptions, granularity: Granularity
) -> Selected:
    """Apply the verdict to the model, which is this stage's own copy."""
    for op in verdict.keep:
        op.keep_float = True
    lifted = verdict.lifted
    pinned = lift(model, set(lifted), ends=any(rule.name == "legacy-uint8" for rule in lifted.values()))
    cancel(model, verdict.cancelled)
    stamp_axes(verdict.stamped)
    faulty = sorted({rule.name for op, rule in lifted.items() if not rule.right and any(map(codes, op.values()))})
    assumptions, reference, entries = loaded.assumptions, "the given model", loaded.entries
    if faulty:
        reference = "the given model, with its faulty operators corrected"
        assumptions += (
            f"{', '.join(faulty)}: the parameters in the file are taken as intended, even where a runtime ignores them",
        )
    if faulty or verdict.stamped:
        entries = tuple(Entry.of(model, e.number, bench.file(e.view(model))) for e in entries)
    left = frozenset(op.origin for _, op in model.ops() if op.keep_float)
    return Selected(
        loaded.request,
        options,
        loaded.source,
        model,
        entries,
        granularity,
        loaded.conversion,
        reference,
        pinned,
        loaded.changes,
        assumptions,
        verdict.planned,
        left,
    )


def _blocker(facts: Facts, op: Op, cause: str, way_out: str) -> Blocker:
    return Blocker(facts.place[op][0], op.origin, op.kind, op.output_name, cause, way_out)


def _beyond_mending(op: Op) -> str | None:
    """Why an operator cannot be lifted, or None."""
    if any(t.is_variable for t in op.values()):
        return "its state is integer and cannot be dequantized"
    bad = [t for t in op.values() if codes(t) and t.quant is not None and not _sound(t.quant)]
    return f'the scale of "{bad[0].name}" is invalid' if bad else None


def _sound(quant: Quant) -> bool:
    return bool(np.isfinite(quant.scale).all() and (quant.scale > 0).all())


def _computes_in_int16(facts: Facts) -> bool:
    """Whether the file's activations are int16."""
    kinds = [t.dtype for op in facts.place for t in op.outputs if codes(t) and not t.is_variable]
    return bool(kinds) and kinds.count("int16") > len(kinds) / 2


def _one_scale_per_tensor(weights: str, facts: Facts) -> bool:
    """Whether weights get one scale per tensor: as requested, or as in the whole file."""
    return weights == "per-tensor" or (weights == "auto" and facts.per_tensor and _int8_weights(facts))


def _int8_weights(facts: Facts) -> bool:
    """Whether the file has quantized int8 weights, whose granularity can be kept."""
    found: list[Any] = [weighted(op) for op in facts.place]
    return any(w is not None and w[2].dtype == "int8" and codes(w[2]) for w in found)
