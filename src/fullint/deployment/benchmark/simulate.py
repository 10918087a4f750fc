"""An accelerator's cuts, played on the host: numerics and cuts are real, acceleration is not.

    the model -> the target's rules -> the runtime's partitions -> each a model of its own, run on LiteRT

What the delegate would take is one row, under the delegate's name; what it would leave runs as the runtime runs it. Nothing
here says how long a device takes, and everything that comes out says SIMULATED ON HOST.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fullint.deployment.benchmark.profile import EventRow, join
from fullint.deployment.benchmark.report import OperatorTime
from fullint.deployment.delegates import nnapi
from fullint.deployment.delegates.partition import PartitionReport, ask, cut
from fullint.deployment.delegates.partitioner import Subset
from fullint.deployment.delegates.targets import DELEGATES
from fullint.deployment.logs.record import SIMULATED
from fullint.errors import UsageError
from fullint.model.ir import Array, Graph, Model, Tensor
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

if TYPE_CHECKING:
    from fullint.deployment.benchmark.settings import Settings

DEVICE_FOLDER = "/data/local/tmp"


@dataclass(frozen=True)
class Piece:
    """One partition as a model of its own."""

    subset: Subset
    model: Model
    path: str


@dataclass(frozen=True)
class Simulation:
    """All of them, in order.

    Attributes:
        delegate: the runtime's name of the delegate.
        cut: the report of `partition`.
        values: inputs of each piece, as the pieces before made them.
        same: whether the pieces together gave, to the bit, what the whole model gives.
    """

    delegate: str
    cut: PartitionReport
    pieces: tuple[Piece, ...]
    values: list[list[Array]]
    same: bool

    def joined(self, profiles: Sequence[list[EventRow]]) -> tuple[tuple[OperatorTime, ...], str]:
        """The profile: a row for each kernel of the delegate, the runtime's rows for the rest; why some are not joined."""
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
        """What must be read with the figures."""
        equal = "the same, to the bit," if self.same else "not the same"
        return (
            f"{SIMULATED}: the cut and the numbers are real, the time is this machine's and says nothing of a device's",
            f"{SIMULATED}: {self.cut.line}",
            f"{SIMULATED}: {len(self.pieces)} pieces were run, {self.cut.kernels} of them the delegate's; "
            f"their outputs are {equal} as those of the model run whole",
        )


def simulation(stack: contextlib.ExitStack, model: Model, path: str, how: Settings, inputs: Sequence[Array]) -> Simulation:
    """Cut a model, and run its pieces once for the values between them.

    Raises:
        UsageError: an unknown target or accelerator; a model whose pieces share variables.
        RuntimeFailure: the runtime refuses a piece.
    """
    target = how.simulate or ""
    name = how.nnapi_accelerator_name
    if name is not None and name not in nnapi.ACCELERATORS:
        raise UsageError(f"no rules are known for the accelerator {name}; there are some for {', '.join(nnapi.ACCELERATORS)}")
    _, found = ask(model, target)
    pieces = []
    for subset in found:
        part = _part(model, subset)
        pieces.append(Piece(subset, part, stack.enter_context(model_file(part))))
    values, same = _values(model, path, pieces, inputs, how)
    kind = target.partition(":")[0]
    return Simulation(DELEGATES[kind].node or kind, cut(model, target), tuple(pieces), values, same)


def device_commands(path: str, accelerator: str | None) -> tuple[str, ...]:
    """What to type to run the same on a phone; its log comes back by `fullint readlog`. Not tried on a device."""
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
        raise UsageError(
            "the pieces of this model share variables, and cannot be run one by one; fullint partition shows the cut"
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
    """Kernels of a piece by the number of the piece."""
    return replace(o, kernel=number if o.kernel >= 0 else -1)


def _shared(rows: Sequence[OperatorTime]) -> list[OperatorTime]:
    total = sum(o.us for o in rows if not o.nested) or 1.0
    return [replace(o, share=o.us / total) for o in rows]
