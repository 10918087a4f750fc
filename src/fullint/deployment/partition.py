"""`partition`: which operators a delegate accepts, which not and why, the partitions in order, and what the cuts cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullint.auditing.audit import read_for_audit
from fullint.delegates.partitioner import Subset, subsets
from fullint.delegates.target import TargetAnswer
from fullint.delegates.targets import delegate_targets
from fullint.deployment.partition_document import partition_document
from fullint.documents import Document
from fullint.errors import UsageError
from fullint.model.ir import Graph, Model, Op, Tensor
from fullint.ops.macs import macs
from fullint.reporting import SCHEMA_VERSION, Report
from fullint.runtime.damaged_models import diagnosing
from fullint.targets import TARGETS

AFTER = {"quantize": "quantized", "repair": "repaired"}
"""What can be done before a second look, and what the model is then called."""
LITERTS = {"litert": "xnnpack"}
"""LiteRT takes every model whole; its delegate is what cuts the graph."""
LEAST_CUT, MOST_TRIED = 3, 60
"""Partitions that are too many to be one operator's matter of course, and refused operators that are tried one by one."""


@dataclass(frozen=True)
class Refusal:
    """An operator that the delegate does not accept.

    Attributes:
        index: index of the operator in the main graph.
        kind: TFLite's name of the operator.
        output: name of its first output tensor.
        reason: why the delegate does not accept it.
        macs_share: its share of the model's multiply-accumulates, 0 to 1.
    """

    index: int
    kind: str
    output: str
    reason: str
    macs_share: float


@dataclass(frozen=True)
class Partition:
    """One partition of the graph.

    Attributes:
        taken: whether it is delegated.
        operators: indices of its operators.
        kinds: number of operators by type.
        macs_share: its share of the model's multiply-accumulates, 0 to 1.
        inputs, outputs: names of the tensors that enter and leave it, without constants.
        crossing_bytes: total size of those tensors.
    """

    taken: bool
    operators: tuple[int, ...]
    kinds: dict[str, int]
    macs_share: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    crossing_bytes: int


@dataclass(frozen=True)
class OneCut:
    """An operator that alone cuts the graph, and how it would be cut if the delegate accepted it.

    Attributes:
        index, kind, output: of the operator.
        partitions: number of partitions without it.
        kernels: number of delegated partitions without it.
        delegated: number of delegated operators without it.
    """

    index: int
    kind: str
    output: str
    partitions: int
    kernels: int
    delegated: int = 0


@dataclass(frozen=True, repr=False)
class PartitionReport(Report):
    """The result of `partition`.

    Attributes:
        schema_version: version of the report's fields.
        model: path of the model, "" for bytes.
        target: the target, with its level or configuration.
        source: where the acceptance rules come from.
        operators: number of operators in the main graph.
        taken: number of operators the delegate accepts.
        partitions: number of partitions, delegated or not, as the runtime counts them.
        kernels: number of delegated partitions.
        line: the line that the runtime would log.
        crossing_bytes: bytes passed between partitions in one run.
        taken_macs_share: the share of multiply-accumulates that is delegated, 0 to 1.
        pieces: the partitions, in order of execution.
        refused: the operators that are not delegated, and why.
        after: the same report for the quantized or repaired model, if requested.
        one_cut: the operator that alone cuts the graph most, None where none does.
        others: the same for further targets, where several were asked for.
    """

    schema_version: int
    model: str
    target: str
    source: str
    operators: int
    taken: int
    partitions: int
    kernels: int
    line: str
    crossing_bytes: int
    taken_macs_share: float
    pieces: tuple[Partition, ...]
    refused: tuple[Refusal, ...]
    after: PartitionReport | None = None
    one_cut: OneCut | None = None
    others: tuple[PartitionReport, ...] = ()

    def rows(self) -> tuple[Refusal, ...]:
        """The operators that are not delegated, and why."""
        return self.refused

    def document(self) -> Document:
        """What the report says."""
        return partition_document(self)


@diagnosing
def partition(
    model: str | Path | bytes,
    target: str = "xnnpack",
    *,
    after: str | None = None,
    samples: Any = None,
    worker_memory: float | None = None,
    worker_seconds: float | None = None,
) -> PartitionReport:
    """How a delegate would partition a model's main graph.

    Args:
        model: path or bytes of a `.tflite`.
        target: name of a target (`delegates.targets`), such as "xnnpack", "nnapi[:LEVEL]" (API level, 30 by default) or
            "ethos-u[:CONFIG]" (an accelerator configuration of Arm's Vela, "ethos-u55-128" by default; needs the package
            ethos-u-vela); several joined by commas.
        after: "quantize" or "repair" to also partition what that makes of the model for the target.
        samples: samples for it, if it needs them.
        worker_memory, worker_seconds: limits of each process that runs a model, in GB and seconds of one run; as in
            `quantize`.

    Raises:
        ModelFormatError, UsageError: the file is not a model; the target is unknown.
    """
    if after not in (None, *AFTER):
        raise UsageError(f'after must be {" or ".join(AFTER)}, not "{after}"')
    if samples is not None and after is None:
        raise UsageError('samples are only used with after="quantize" or "repair" (--after): add it, or give no samples')
    read = read_for_audit(model)
    name = "" if isinstance(model, bytes) else str(model)
    found = []
    for one in target.split(","):
        later = None
        if after is not None:
            where = one.partition(":")[0]
            made = _made(after)(
                model,
                samples,
                target=one if where in TARGETS else "litert",
                worker_memory=worker_memory,
                worker_seconds=worker_seconds,
            )
            later = cut(read_for_audit(made.model), one, f"{name} {AFTER[after]}")
        found.append(cut(read, one, name, later))
    return replace(found[0], others=tuple(found[1:]))


def _made(after: str) -> Callable[..., Any]:
    """What makes the other model."""
    if after == "repair":
        from fullint.repairing.pipeline import repair

        return repair
    from fullint.quantization.pipeline import quantize

    return quantize


def cut(model: Model, target: str, name: str = "", after: PartitionReport | None = None) -> PartitionReport:
    """The report for a model in memory."""
    graph = model.main
    answer, found = ask(model, target)
    asked, verdict = answer.name, answer.reasons
    total = sum(macs(op) for op in graph.ops) or 1
    pieces = tuple(_piece(s, total) for s in found)
    taken = sum(why is None for why in verdict.values())
    kernels = sum(s.taken for s in found)
    delegate = delegate_targets()[asked.partition(":")[0]].node or asked
    said = f"Replacing {taken} out of {len(graph.ops)} node(s) with delegate ({delegate}) node, yielding {len(found)} partitions"
    return PartitionReport(
        SCHEMA_VERSION,
        name,
        asked,
        answer.speaker,
        len(graph.ops),
        taken,
        len(found),
        kernels,
        said,
        sum(t.nbytes for t in _crossing(graph, found)),
        round(sum(macs(op) for op, why in verdict.items() if why is None) / total, 6),
        pieces,
        tuple(
            Refusal(op.origin, op.custom_code or op.kind, op.output_name, why, round(macs(op) / total, 6))
            for op, why in verdict.items()
            if why is not None
        ),
        after,
        _one_cut(graph, answer, len(found)),
    )


def _one_cut(graph: Graph, answer: TargetAnswer, partitions: int) -> OneCut | None:
    """The refused operator without which the graph is cut least; None where more than one has to go.

    That is, with the fewest partitions; where the target takes one partition only, with the most operators in it.
    """
    alone = answer.alone or answer.reasons
    refused = [op for op, why in alone.items() if why is not None]
    if (partitions < LEAST_CUT and not answer.once) or len(refused) > MOST_TRIED:
        return None
    now = sum(why is None for why in answer.reasons.values())
    best, least = None, -now - 1 if answer.once else partitions - 1
    for op in refused:
        verdict = {**alone, op: None}
        verdict = answer.once(graph, verdict) if answer.once else verdict
        taken = [each for each, why in verdict.items() if why is None]
        found = subsets(graph, taken)
        cost = -len(taken) if answer.once else len(found)
        if cost < least:
            best, least = OneCut(*_named(op), len(found), sum(s.taken for s in found), len(taken)), cost
    return best


def _named(op: Op) -> tuple[int, str, str]:
    return op.origin, op.custom_code or op.kind, op.output_name


def ask(model: Model, target: str) -> tuple[TargetAnswer, list[Subset]]:
    """The target's verdict on each operator, and the resulting partitions.

    Raises:
        UsageError: the target is unknown.
    """
    name, _, detail = target.partition(":")
    known = delegate_targets().get(LITERTS.get(name, name))
    if known is None or (detail and not known.detail):
        several = ", ".join(f"{t.name}:{t.detail}" for t in delegate_targets().values() if t.detail)
        raise UsageError(f'target must be one of {", ".join(delegate_targets())} ({several}), not "{target}"')
    answer = known.answer(model, detail)
    return answer, subsets(model.main, [op for op, why in answer.reasons.items() if why is None])


def _piece(s: Subset, total: int) -> Partition:
    crossing = [t for t in s.inputs if not t.is_constant]
    return Partition(
        s.taken,
        tuple(sorted(op.origin for op in s.ops)),
        dict(Counter(op.kind for op in s.ops).most_common()),
        round(sum(macs(op) for op in s.ops) / total, 6),
        tuple(t.name for t in crossing),
        tuple(t.name for t in s.outputs),
        sum(t.nbytes for t in (*crossing, *s.outputs)),
    )


def _crossing(graph: Graph, found: list[Subset]) -> list[Tensor]:
    """Tensors passed from one partition to another."""
    made = {t for op in graph.ops for t in op.outputs}
    return list(dict.fromkeys(t for s in found for t in s.inputs if t in made))
