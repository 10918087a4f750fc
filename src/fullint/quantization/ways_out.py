"""Ways to keep parts of outputs that are not kept, tried in the run that lost them.

    Calibrated --another form of it--> Calibrated' --decide--> --build--> result' --a few samples--> dB of its worst part

Nothing is calibrated again: the ranges are those of the run. A way is named only with what it gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fullint.errors import FullintError
from fullint.model.ir import Array, Graph, Model, Op, Uses
from fullint.ops import ROWS, traits_of
from fullint.ops.base import CONVERSIONS
from fullint.passes.split_outputs import find_splits, split_graph
from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import model_file
from fullint.verification.judged_parts import JudgedOutput
from fullint.verification.kernel_outputs import integer_inputs, real
from fullint.verification.output_parts import output_parts
from fullint.verification.report import Certificate

NOTHING_LEFT = 200.0
"""What a result has whose parts are all equal, or as near as kernels' scales allow."""
HELPS_DB = 3.0
"""A way that gives less than this more is not worth naming."""


@dataclass(frozen=True, eq=False)
class Way:
    """Another form of a run: the option that asks for it, and what the deciding stages start from."""

    option: str
    calibrated: Calibrated


def tried_ways(bench: Workbench, written: Written, certificate: Certificate, samples: Sequence[Sequence[Array]]) -> list[str]:
    """Options that keep parts which the result does not keep, each with the dB of the worst part then, best first.

    Args:
        bench: tools of the run.
        written: the result.
        certificate: of the result.
        samples: a few that judged it.
    """
    calibrated = written.assigned.calibrated
    bad = [p for o in certificate.outputs for p in o.parts if p.status != "kept"]
    if not samples or not bad:
        return []
    now = min(p.spread_db for p in bad)
    found: list[tuple[float, str]] = []
    for way in _ways(calibrated, {p.operator for p in bad if p.operator >= 0}):
        try:
            figure = _figure(bench, way.calibrated, samples)
        except FullintError:
            continue  # it is no way for this model
        if figure > now + HELPS_DB:
            found.append((figure, f"{way.option}: {figure:.1f} dB" if figure < NOTHING_LEFT else f"{way.option}: all parts kept"))
    return [text for _, text in sorted(found, key=lambda item: -item[0])]


def _ways(calibrated: Calibrated, origins: set[int]) -> Iterator[Way]:
    model = calibrated.model
    graph = model.main
    splits = find_splits(graph)
    if splits and calibrated.prepared.loaded.request.can_split:
        yield Way("--split-outputs", _with_main(calibrated, split_graph(graph, splits)))
    ends = _to_the_end(graph, origins)
    indices = ",".join(map(str, dict.fromkeys(op.origin for op in ends)))
    if not ends or any(op.origin < 0 for op in ends):
        return
    prepared = calibrated.prepared
    if all((row := ROWS.get(op.kind)) is not None and row.int16 for op in ends):
        wide = prepared.wide | {(0, op.origin) for op in ends}
        yield Way(f"--int16 {indices}", replace(calibrated, prepared=replace(prepared, wide=wide)))
    if any(traits_of(op.kind).effects for op in ends):  # loops, branches and variables are not kept in float
        return
    kept = [replace(op, keep_float=True) if op in ends else op for op in graph.ops]
    yield Way(f"--keep-float {indices}", _with_main(calibrated, replace(graph, ops=kept)))


def _to_the_end(graph: Graph, origins: set[int]) -> list[Op]:
    """The operators of the given file with these indices, and all that their results pass through to an output."""
    uses = Uses(graph)
    found: dict[Op, None] = {}
    waiting = [op for op in graph.ops if op.origin in origins and op.kind not in CONVERSIONS]
    while waiting:
        op = waiting.pop()
        found[op] = None
        waiting += [reader for t in op.outputs for reader, _ in uses.of(t) if reader not in found]
    return [op for op in graph.ops if op in found]


def _with_main(calibrated: Calibrated, graph: Graph) -> Calibrated:
    """The same ranges for another main graph of the same tensors."""
    model = calibrated.model
    signatures = [replace(s, graph=graph, outputs=[]) for s in model.signatures if s.graph is model.main]
    others = [s for s in model.signatures if s.graph is not model.main]
    graphs = [graph, *(g for g in model.graphs if g is not model.main)]
    return replace(calibrated, model=replace(model, graphs=graphs, signatures=[*others, *signatures]))


def _figure(bench: Workbench, calibrated: Calibrated, samples: Sequence[Sequence[Array]]) -> float:
    """The worst part of what such a run writes, in dB."""
    written = build(bench, decide(bench, calibrated))
    result = written.emitted.model
    judged = [JudgedOutput(p) for p in output_parts(result, bench.evaluate)]
    references = _outputs(bench, calibrated.model, samples)
    results = _outputs(bench, written.data, [integer_inputs(result, s) for s in samples])
    for reference, output in zip(references, results, strict=True):
        for j, t, a, b in zip(judged, result.main.outputs, reference, output, strict=True):
            j.add(j.ordered(a), j.ordered(real(b, t)))
    return min((j.worst() for j in judged), default=200.0)


def _outputs(bench: Workbench, model: Model | bytes, samples: Sequence[Sequence[Array]]) -> list[list[Array]]:
    with model_file(model) as path:
        bench.worker.call(Open(path, "xnnpack", 1))
        return [bench.worker.call(Run(list(sample))) for sample in samples]
