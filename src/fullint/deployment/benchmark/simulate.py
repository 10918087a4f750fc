"""An accelerator's partitions, run on the host: results and partitions are real, acceleration is not.

    model -> the target's rules -> the runtime's partitions -> each as a separate model, run on LiteRT

Each partition that the delegate would run is one row under the delegate's name; the others run as the runtime runs them.
The times say nothing about a device, and all output is marked SIMULATED ON HOST.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fullint.delegates import nnapi
from fullint.delegates.partitioner import Subset
from fullint.delegates.targets import delegate_targets
from fullint.deployment.benchmark.profile import EventRow, join
from fullint.deployment.benchmark.report import OperatorTime
from fullint.deployment.logs.record import SIMULATED
from fullint.deployment.partition import PartitionReport, ask, cut
from fullint.errors import UsageError
from fullint.model.ir import Array, Graph, Model, Tensor
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

if TYPE_CHECKING:
    from fullint.deployment.benchmark.settings import Settings

DEVICE_FOLDER = "/data/local/tmp"


@dataclass(frozen=True)
class Piece:
    """One partition as a separate model."""

    subset: Subset
    model: Model
    path: str


@dataclass(frozen=True)
class Simulation:
    """The partitions of a model as separate models.

    Attributes:
        delegate: the runtime's name for the delegate.
        cut: the report of `partition`.
        pieces: the partitions, in order of execution.
        values: inputs of each piece, as computed by the pieces before it.
        same: whether the pieces gave bit-identical outputs to the whole model.
    """

    delegate: str
    cut: PartitionReport
    pieces: tuple[Piece, ...]
    values: list[list[Array]]
    same: bool

    def joined(self, profiles: Sequence[list[EventRow]]) -> tuple[tuple[OperatorTime, ...], str]:
        """The profile (one row per delegated partition, the runtime's rows for the others), and why rows are not matched."""
        found: list[OperatorTime] = []
        lost = set[str]()
        for number, (piece, rows) in enumerate(zip(self.pieces, profiles, strict=True)):
            if not piece.subset.taken:
                own, why = join(rows, piece.model)
                lost |= {f"piece {number}: {why}"} if why else set()
                found += [_numbered(o, number) for o in own]
                continue
            outputs = ", ".join(t.name for t in piece.subset.outputs)
            outer = [r for r in rows if not r.nested]
            us, first = sum(r.us for r in outer), sum(r.first_us for r in outer)
            found.append(OperatorTime(self.delegate, number, self.cut.operators + number, us, 1, 0.0, -1, "", outputs, first))
        return tuple(_shared(found)), "; ".join(sorted(lost))

    def notes(self) -> tuple[str, ...]:
        """Notes on what the figures mean."""
        equal = "bit-identical to" if self.same else "not the same as"
        return (
            f"{SIMULATED}: partitions and results are real; times are this machine's and say nothing about a device",
            f"{SIMULATED}: {self.cut.line}",
            f"{SIMULATED}: {len(self.pieces)} partitions were run, {self.cut.kernels} of them delegated; "
            f"their outputs are {equal} those of the whole model",
        )


def simulation(stack: contextlib.ExitStack, model: Model, path: str, how: Settings, inputs: Sequence[Array]) -> Simulation:
    """Partition a model, and run the pieces once to get the values passed between them.

    Raises:
        UsageError: the target or accelerator is unknown, or partitions share variables.
        RuntimeFailure: the runtime rejects a piece.
    """
    target = how.simulate or ""
    name = how.nnapi_accelerator_name
    if name is not None and name not in nnapi.ACCELERATORS:
        raise UsageError(f'unknown accelerator "{name}"; rules exist for: {", ".join(nnapi.ACCELERATORS)}')
    _, found = ask(model, target)
    pieces = []
    for subset in found:
        part = _part(model, subset)
        pieces.append(Piece(subset, part, stack.enter_context(model_file(part))))
    values, same = _values(model, path, pieces, inputs, how)
    kind = target.partition(":")[0]
    return Simulation(delegate_targets()[kind].node or kind, cut(model, target), tuple(pieces), values, same)


def device_commands(path: str, accelerator: str | None) -> tuple[str, ...]:
    """Shell commands that measure the model on a phone and read the log with `fullint readlog`; not tested on a device."""
    name = re.sub(r"[^\w.-]", "_", path.rsplit("/", 1)[-1]) or "model.tflite"
    asked = f" --nnapi_accelerator_name={accelerator}" if accelerator else ""
    return (
        f"adb push {path or name} {DEVICE_FOLDER}/{name}",
        f"adb push benchmark_model {DEVICE_FOLDER}/benchmark_model",
        f"adb shell chmod +x {DEVICE_FOLDER}/benchmark_model",
        f"adb shell {DEVICE_FOLDER}/benchmark_model --graph={DEVICE_FOLDER}/{name} --use_nnapi=true{asked} "
        "--enable_op_profiling=true > benchmark.log 2>&1",
        f"fullint readlog benchmark.log {path or name}",
    )


def _part(model: Model, subset: Subset) -> Model:
    made = {t for op in model.main.ops for t in op.outputs}.union(model.main.inputs)
    inputs = [t for t in subset.inputs if t in made]
    resource = next((t for t in (*inputs, *subset.outputs) if t.dtype == "resource"), None)
    if resource is not None or not subset.outputs:
        why = "share variables" if resource is not None else "include one without outputs"
        raise UsageError(
            f"the partitions of this model {why} and cannot be run one by one: run without --simulate, or see them with "
            "fullint partition"
        )
    graph = Graph("main", [], inputs, list(subset.outputs), sorted(subset.ops, key=lambda op: op.origin))
    graph.sync_tensors()
    return Model([graph, *model.graphs[1:]])


def _values(
    model: Model, path: str, pieces: Sequence[Piece], inputs: Sequence[Array], how: Settings
) -> tuple[list[list[Array]], bool]:
    known: dict[Tensor, Array] = dict(zip(model.main.inputs, inputs, strict=True))
    values = []
    with WorkerProcess("a piece of the model") as worker:
        for piece in pieces:
            worker.call(Open(piece.path, how.kernels, how.num_threads))
            values.append([known[t] for t in piece.model.main.inputs])
            known |= zip(piece.model.main.outputs, worker.call(Run(values[-1])), strict=True)
        worker.call(Open(path, how.kernels, how.num_threads))
        whole = worker.call(Run(list(inputs)))
    same = all(np.array_equal(known[t], w, equal_nan=w.dtype.kind == "f") for t, w in zip(model.main.outputs, whole, strict=True))
    return values, same


def _numbered(o: OperatorTime, number: int) -> OperatorTime:
    """The row with the number of its piece as kernel number."""
    return replace(o, kernel=number if o.kernel >= 0 else -1)


def _shared(rows: Sequence[OperatorTime]) -> list[OperatorTime]:
    total = sum(o.us for o in rows if not o.nested) or 1.0
    return [replace(o, share=o.us / total) for o in rows]
