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
from fullint.model.ir import Op, Quant, Tensor
from fullint.model.subgraphs import copy_model
from fullint.ops import ROWS, Role
from fullint.ops.base import CONVERSIONS, codes
from fullint.ops.operands import weighted
from fullint.ops.structure import check_readable
from fullint.options import QuantizeOptions
from fullint.passes.named_operators import keep_in_float
from fullint.quantization.assignment import Granularity
from fullint.quantization.operator_settings import to_keep
from fullint.quantization.stage_values import Loaded, Request
from fullint.quantization.workbench import Workbench
from fullint.repairing.lift import cancel, lift, merge_conversions
from fullint.repairing.refused import refused_by_runtime
from fullint.repairing.stamp import stamp_axes, stamp_bias_scales, stamp_parameters

QUANTIZE_AGAIN = "quantize the float model again"


@dataclass(frozen=True)
class RepairRequest(Request):
    """A request with the options that only `repair` has.

    Attributes:
        rules: names of the rules whose findings to fix.
        weights: "auto", "per-channel" or "per-tensor".
        unsafe_fixes: whether to apply fixes that change what the model computes.
    """

    rules: frozenset[str] = frozenset()
    weights: str = "auto"
    unsafe_fixes: bool = False


@dataclass(frozen=True)
class Selected(Loaded):
    """The model with faulty operators lifted.

    Attributes:
        planned: the findings to fix.
        left: indices, in the input file, of operators that stay float.
        beyond: the operators that cannot be repaired, with the cause; if there are any, no operator has been lifted.
        unsafe: the findings left because fixing them would change what the model computes.
    """

    planned: tuple[Finding, ...] = ()
    unsafe: tuple[Finding, ...] = ()
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
        stamped: operators of which only what the file says is corrected -> the rules that require it.
        beyond: operators that cannot be repaired -> their blocker.
        float_io: whether inputs and outputs stay float.
        unsafe: findings left because fixing them would change what the model computes.
    """

    planned: tuple[Finding, ...]
    keep: frozenset[Op]
    lifted: dict[Op, Rule]
    cancelled: frozenset[Op]
    stamped: dict[Op, set[str]]
    beyond: dict[Op, Blocker]
    float_io: bool
    unsafe: tuple[Finding, ...]


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
        keep_in_float(to_keep(model, loaded.options))
        options = replace(loaded.options, activations="int16") if _computes_in_int16(facts) else loaded.options
        granularity = Granularity(_one_scale_per_tensor(request.weights, facts))
        questioned = [w for w, rule, f in found if isinstance(w, Op) and not rule.safe_for(w, f)]
        refused = set() if request.unsafe_fixes else refused_by_runtime(questioned)
    if any(rule.name == "not-quantized" for _, rule, _ in found):
        raise UsageError("nothing in the file is quantized, so there is nothing to repair: use fullint quantize")
    verdict = _decide(found, request, facts, refused)
    if verdict.beyond:
        return Selected(**vars(loaded), planned=verdict.planned, unsafe=verdict.unsafe, beyond=tuple(verdict.beyond.values()))
    selected = _mend(bench, loaded, facts, verdict, _options(options, verdict), granularity)
    check_readable(model)
    return selected


def require_mendable(bench: Workbench, selected: Selected) -> Selected:
    """Raise NotIntegerError if an operator cannot be repaired."""
    if selected.beyond:
        raise NotIntegerError(list(selected.beyond))
    return selected


def _options(options: QuantizeOptions, verdict: _Verdict) -> QuantizeOptions:
    return replace(options, io="float32") if verdict.float_io and options.io == "auto" else options


def _decide(
    found: Sequence[tuple[Op | Tensor, Rule, Found]], request: RepairRequest, facts: Facts, refused: Collection[Op | Tensor]
) -> _Verdict:
    """Decide what to do about each finding, without changing the model; `refused` are operators that LiteRT does not run."""
    planned: list[Finding] = []
    unsafe: list[Finding] = []
    keep = {op for op in facts.place if op.keep_float}
    lifted: dict[Op, Rule] = {}
    cancelled, stamped = set[Op](), dict[Op, set[str]]()
    beyond: dict[Op, Blocker] = {}
    float_io = False
    for what, rule, f in found:
        mend = f.mend or rule.mend
        if rule.name not in request.rules:
            keep |= _left(what, rule)
            float_io |= rule.mend is Mend.ENDS
            continue
        harmful = not rule.safe_for(what, f) and what not in refused
        if mend is not Mend.NONE and harmful and not request.unsafe_fixes:
            unsafe.append(finding(what, rule, f, facts))
            keep |= _left(what, rule)
            continue
        if mend is not Mend.NONE:
            planned.append(finding(what, rule, f, facts))
        if not isinstance(what, Op) or what in keep:
            continue
        if mend is Mend.NONE and (f.level or rule.level) == "error" and not rule.bearable:
            beyond.setdefault(what, _blocker(facts, what, f.cause, f.fix))
        elif mend is Mend.LIFT:
            if (why := _beyond_mending(what)) is not None:
                beyond.setdefault(what, _blocker(facts, what, f"{f.cause}; {why}", QUANTIZE_AGAIN))
            lifted.setdefault(what, rule)
            if what.kind in CONVERSIONS:
                lifted |= {reader: rule for reader, _ in facts.uses.of(what.outputs[0]) if reader not in lifted}
        elif mend is Mend.CANCEL and all(codes(t) for t in what.values()):
            cancelled.add(what)
        elif mend is Mend.STAMP:
            stamped.setdefault(what, set()).add(rule.name)
    return _Verdict(tuple(planned), frozenset(keep), lifted, frozenset(cancelled), stamped, beyond, float_io, tuple(unsafe))


def _left(what: Op | Tensor, rule: Rule) -> set[Op]:
    """The operator to leave as it is because its finding is not to be fixed, if any."""
    stays = rule.mend in (Mend.LIFT, Mend.CANCEL) or Scope.FLOAT in rule.scopes
    return {what} if stays and isinstance(what, Op) else set()


def _mend(
    bench: Workbench, loaded: Loaded, facts: Facts, verdict: _Verdict, options: QuantizeOptions, granularity: Granularity
) -> Selected:
    """Apply the verdict to the model, which is this stage's own copy."""
    model = facts.model
    for op in verdict.keep:
        op.keep_float = True
    stamped, lifted = verdict.stamped, verdict.lifted
    stamp_axes([op for op, rules in stamped.items() if "malformed-scale" in rules])
    stamp_parameters(facts.lost if any("kernel-type-mismatch" in rules for rules in stamped.values()) else {})
    stamp_bias_scales([op for op, rules in stamped.items() if "bias-wrong-scale" in rules and op not in lifted])
    merge_conversions(model, verdict.keep)
    pinned = lift(model, set(lifted), ends=any(rule.name == "legacy-uint8" for rule in lifted.values()))
    cancel(model, verdict.cancelled)
    faulty = sorted({rule.name for op, rule in lifted.items() if not rule.right and any(map(codes, op.values()))})
    faulty += sorted(
        {name for rules in stamped.values() for name in rules if name in ("malformed-scale", "kernel-type-mismatch")}
    )
    assumptions, corrected = loaded.assumptions, tuple[Entry, ...]()
    if faulty:
        assumptions += (
            f"{', '.join(faulty)}: the parameters in the file are taken as intended, even where a runtime ignores them",
        )
        corrected = tuple(Entry.of(model, e.number, bench.file(e.view(model))) for e in loaded.entries)
    left = frozenset(op.origin for _, op in model.ops() if op.keep_float)
    whole = {**vars(loaded), "options": options, "model": model, "granularity": granularity, "pinned": pinned}
    whole |= {"reference": "the given model", "assumptions": assumptions, "corrected": corrected}
    whole |= {"on_purpose": bool(corrected) and any(not f.safe for f in verdict.planned)}
    return Selected(**whole, planned=verdict.planned, left=left, unsafe=verdict.unsafe)


def _blocker(facts: Facts, op: Op, cause: str, way_out: str) -> Blocker:
    return Blocker(facts.place[op][0], op.origin, op.kind, op.output_name, cause, way_out)


def _beyond_mending(op: Op) -> str | None:
    """Why an operator cannot be lifted, or None."""
    if any(t.is_variable for t in op.values()):
        return "its state is integer and cannot be dequantized"
    bad = [t for t in op.values() if codes(t) and t.quant is not None and not _sound(t.quant)]
    if bad:
        return f'the scale of "{bad[0].name}" is invalid'
    row = ROWS.get(op.kind)
    real = [t for i, t in enumerate(op.inputs) if t is not None and row is not None and row.role(i) in (Role.OWN, Role.SAME)]
    bare = [t for t in (*real, *op.outputs) if t.dtype in ("int8", "uint8", "int16") and not codes(t)]
    mixed = bare and any(codes(t) for t in op.values())
    return f'"{bare[0].name}" has no scale, and nothing in the file says what it was' if mixed else None


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
