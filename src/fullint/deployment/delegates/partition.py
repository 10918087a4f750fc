"""How a delegate would cut a model: who is taken, who is not and why, the partitions in order, what the cuts cost."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fullint.auditing.audit import read_for_audit
from fullint.deployment.delegates.partitioner import Subset, subsets
from fullint.deployment.delegates.target import TargetAnswer
from fullint.deployment.delegates.targets import DELEGATES
from fullint.errors import UsageError
from fullint.model.ir import NUMPY_TYPES, Graph, Model, Tensor
from fullint.ops.macs import macs
from fullint.reporting import SCHEMA_VERSION, Report


@dataclass(frozen=True)
class Refusal:
    """An operator that is not taken: its index, kind, output tensor, the reason, and its share of the multiply-accumulates."""

    index: int
    kind: str
    output: str
    reason: str
    macs_share: float


@dataclass(frozen=True)
class Partition:
    """One piece of the graph, in order of execution.

    Attributes:
        taken: whether the delegate takes it.
        operators: indices of its operators.
        kinds: how many of each kind.
        macs_share: its part of the multiply-accumulates.
        inputs, outputs: names of tensors that cross its border; constants are left out.
        crossing_bytes: size of all of them.
    """

    taken: bool
    operators: tuple[int, ...]
    kinds: dict[str, int]
    macs_share: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    crossing_bytes: int


@dataclass(frozen=True)
class PartitionReport(Report):
    """What `partition` tells.

    Attributes:
        target: as asked for, with its level or configuration.
        source: where the rules are from.
        operators: of the main graph.
        taken: how many the delegate takes.
        partitions: pieces, delegated and not, as the runtime counts them.
        kernels: pieces the delegate takes.
        line: what the runtime would say of it.
        crossing_bytes: bytes that cross the borders inside the graph in one run.
        taken_macs_share: the part of the multiply-accumulates that is taken.
        pieces: in order.
        refused: operators that are not taken, and why.
        after: the same of the repaired or quantized model, where asked for.
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

    def rows(self) -> tuple[Refusal, ...]:
        """The operators that are not taken, and why."""
        return self.refused


def partition(
    model: str | Path | bytes, target: str = "xnnpack", *, after: str | None = None, samples: Any = None
) -> PartitionReport:
    """How a delegate would cut a model's main graph.

    Args:
        model: path or bytes of a `.tflite`.
        target: name of a target (`delegates.targets`), such as "xnnpack", "nnapi[:LEVEL]" (API level, 30 by default) or
            "ethos-u[:CONFIG]" (an accelerator Arm's Vela knows, "ethos-u55-128" by default; needs the package ethos-u-vela).
        after: "repair": show the cut of the repaired model, too.
        samples: for the repair, where it needs some.

    Raises:
        ModelFormatError, UsageError: a file that is no model; a target nobody knows.
    """
    if after not in (None, "repair"):
        raise UsageError(f'after must be "repair", not "{after}"')
    if samples is not None and after is None:
        raise UsageError('samples are for the repair: after must be "repair"')
    read = read_for_audit(model)
    name = "" if isinstance(model, bytes) else str(model)
    later = None
    if after == "repair":
        from fullint.repairing.pipeline import repair

        later = cut(read_for_audit(repair(model, samples).model), target, f"{name} repaired")
    return cut(read, target, name, later)


def cut(model: Model, target: str, name: str = "", after: PartitionReport | None = None) -> PartitionReport:
    """The report of a model in memory."""
    graph = model.main
    answer, found = ask(model, target)
    asked, verdict = answer.name, answer.reasons
    total = sum(macs(op) for op in graph.ops) or 1
    pieces = tuple(_piece(s, total) for s in found)
    taken = sum(why is None for why in verdict.values())
    kernels = sum(s.taken for s in found)
    delegate = DELEGATES[asked.partition(":")[0]].node or asked
    said = f"Replacing {taken} out of {len(graph.ops)} node(s) with delegate ({delegate}) node, yielding {len(found)} partitions"
    return PartitionReport(
        SCHEMA_VERSION,
        name,
        asked,
        answer.source,
        len(graph.ops),
        taken,
        len(found),
        kernels,
        said,
        sum(_bytes(t) for t in _crossing(graph, found)),
        round(sum(macs(op) for op, why in verdict.items() if why is None) / total, 6),
        pieces,
        tuple(
            Refusal(op.origin, op.custom_code or op.kind, op.output_name, why, round(macs(op) / total, 6))
            for op, why in verdict.items()
            if why is not None
        ),
        after,
    )


def ask(model: Model, target: str) -> tuple[TargetAnswer, list[Subset]]:
    """What a target says of a model, and the pieces it would be cut in.

    Raises:
        UsageError: a target nobody knows.
    """
    name, _, detail = target.partition(":")
    known = DELEGATES.get(name)
    if known is None or (detail and not known.detail):
        several = ", ".join(f"{t.name}:{t.detail}" for t in DELEGATES.values() if t.detail)
        raise UsageError(f'target must be one of {", ".join(DELEGATES)} ({several}), not "{target}"')
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
        sum(_bytes(t) for t in (*crossing, *s.outputs)),
    )


def _crossing(graph: Graph, found: list[Subset]) -> list[Tensor]:
    """Tensors handed from one piece to another."""
    made = {t for op in graph.ops for t in op.outputs}
    return list(dict.fromkeys(t for s in found for t in s.inputs if t in made))


def _bytes(t: Tensor) -> int:
    kind = NUMPY_TYPES.get(t.dtype)
    return t.size * (kind(0).itemsize if kind is not None else 1) if t.dtype != "bool" else t.size
