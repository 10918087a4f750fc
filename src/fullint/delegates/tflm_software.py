"""TensorFlow Lite Micro itself, where its wheel is installed: it says what it refuses and why, runs models, and needs an arena.

    models, inputs  ->  tflm_program in a child process  ->  MicroRun for each

A model is tried in a large arena. Where the whole is refused, each operator is tried alone: TensorFlow Lite Micro names only
the first.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fullint.delegates import tflm_program
from fullint.delegates.target import OwnRun
from fullint.model.ir import NUMPY_TYPES, Array, Graph, Model, Op, Tensor
from fullint.model.subgraphs import below
from fullint.model.tflite import write_model
from fullint.runtime.supervised import said_by
from fullint.temporary import temporary_folder

MODULE, PACKAGE = "tflite_micro", "tflite-micro"
CRASHED = "it ends the process"
_MARK = re.compile(rf"^{tflm_program.MARK} (\w+)$", re.MULTILINE)
_SAID = re.compile(
    r"^(?!Traceback|  |RuntimeError|ValueError|Failed to |AllocateTensors|Node \w+ \(number|\s*$)(.+)$", re.MULTILINE
)
_MISSING = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_USED = re.compile(r"\[RecordingMicroAllocator\] (?:'(.+)' used (\d+) bytes|Arena allocation (\w+) (\d+) bytes)")


@dataclass(frozen=True)
class MicroRun(OwnRun):
    """What TensorFlow Lite Micro made of a model.

    Attributes:
        arena: the smallest arena, in bytes; 0 where it was not looked for.
        allocations: bytes by what they are for, as its allocator prints them.
    """

    arena: int = 0
    allocations: dict[str, int] = field(default_factory=dict)


def installed() -> bool:
    """Whether it is there."""
    return importlib.util.find_spec(MODULE) is not None


def source() -> str:
    """Its name and version."""
    import importlib.metadata  # slow to import, and mostly not needed

    return f"TensorFlow Lite Micro ({PACKAGE} {importlib.metadata.version(PACKAGE)})"


def run_models(
    models: Sequence[Model | bytes], inputs: Sequence[Sequence[Array] | None] | None = None, *, least: bool = False
) -> list[MicroRun]:
    """Run models on its kernels.

    Args:
        models: what is to be run.
        inputs: for each model, an array [samples, ...] for each input; None: it is allocated only.
        least: whether to look for the smallest arena.

    Raises:
        RuntimeFailure: it takes too long.
    """
    with temporary_folder() as folder:
        asked = []
        for i, model in enumerate(models):
            path = folder / f"{i}.tflite"
            path.write_bytes(model if isinstance(model, bytes) else write_model(model))
            given = inputs[i] if inputs is not None else None
            if given is not None:
                np.savez(folder / f"{i}_in.npz", *given)
            count = len(model.main.outputs) if isinstance(model, Model) else 0
            asked.append(
                {
                    "model": str(path),
                    "inputs": str(folder / f"{i}_in.npz") if given is not None else "",
                    "outputs": str(folder / f"{i}_out.npz"),
                    "outputs_count": count,
                    "least": least,
                }
            )
        return _run(asked, folder)


def run(model: Model, inputs: Sequence[Array]) -> OwnRun:
    """One model on samples."""
    (found,) = run_models([model], [inputs], least=True)
    said = f"arena {found.arena:,} B on a 64-bit host, less where pointers are shorter"
    return OwnRun(found.why, found.outputs, (said,) if found.arena else ())


def _run(asked: list[dict[str, object]], folder: Path) -> list[MicroRun]:
    """All of them, although some may end the process."""
    found: dict[int, MicroRun] = {}
    request, results = folder / "request.json", folder / "results"
    while len(found) < len(asked):
        first = len(found)
        request.write_text(json.dumps({"models": asked, "first": first}))
        results.write_text("")
        command = [sys.executable, str(Path(tflm_program.__file__)), str(request)]
        _, text = said_by("TensorFlow Lite Micro", command, folder)
        said_of = _parts(text)
        for line in results.read_text().splitlines():
            one = json.loads(line)
            found[one["index"]] = _run_of(one, said_of.get(str(one["index"]), ""), asked)
        if len(found) < len(asked):
            found[len(found)] = MicroRun(CRASHED)
    return [found[i] for i in range(len(asked))]


def _run_of(one: dict[str, object], text: str, asked: list[dict[str, object]]) -> MicroRun:
    index, step = one["index"], one["step"]
    assert isinstance(index, int)
    if step:
        return MicroRun(_reason(text))
    outputs: list[Array] = []
    path = Path(str(asked[index]["outputs"]))
    if path.exists():
        with np.load(path) as z:
            outputs = [z[f"arr_{i}"] for i in range(len(z.files))]
    used = {(m[1] or m[3]): int(m[2] or m[4]) for m in _USED.finditer(text)}
    arena = one.get("arena", 0)
    assert isinstance(arena, int)
    return MicroRun("", outputs, arena=arena, allocations=used)


def _parts(text: str) -> dict[str, str]:
    """What was said of each model."""
    marks = list(_MARK.finditer(text))
    ends = [m.start() for m in marks[1:]] + [len(text)]
    return {m[1]: text[m.end() : end] for m, end in zip(marks, ends, strict=True)}


def _reason(text: str) -> str:
    """The line that says why, in its own words."""
    if missing := _MISSING.search(text):
        return f"it does not have {missing[1]}"
    lines = [m[1].strip() for m in _SAID.finditer(text)]
    return lines[0].removeprefix("tensorflow/lite/micro/") if lines else "it refuses it, and does not say why"


def verdicts(model: Model) -> dict[Op, str | None]:
    """Operator of the main graph -> why TensorFlow Lite Micro does not run it, or None if it does."""
    ops = model.main.ops
    (whole,) = run_models([model], [_zeros(model.main)])
    if not whole.why:
        return dict.fromkeys(ops)
    alone = [_alone(model, op) for op in ops]
    found = run_models(alone, [_zeros(m.main) for m in alone])
    reasons: dict[Op, str | None] = {op: run.why or None for op, run in zip(ops, found, strict=True)}
    if ops and not any(reasons.values()):
        reasons[ops[-1]] = f"the operators run alone, but not together: {whole.why}"
    return reasons


def _alone(model: Model, op: Op) -> Model:
    """A model of one operator, with the graphs that it may call."""
    inputs = [t for t in op.inputs if t is not None and not t.is_constant]
    graph = Graph("alone", [], list(dict.fromkeys(inputs)), list(op.outputs), [op])
    graph.sync_tensors()
    return Model(below(graph), version=model.version)


def _zeros(graph: Graph) -> list[Array] | None:
    """One sample of small values; None where an input has a type that cannot be given."""
    if any(t.dtype not in NUMPY_TYPES for t in graph.inputs):
        return None
    return [np.full((1, *t.shape), _small(t), NUMPY_TYPES[t.dtype]) for t in graph.inputs]


def _small(t: Tensor) -> int:
    """A code of a value that is not zero, so that it may be a divisor."""
    if t.quant is None or t.quant.zero_point.size != 1:
        return 0
    return int(t.quant.zero_point[0]) + (1 if int(t.quant.zero_point[0]) < 127 else -1)
