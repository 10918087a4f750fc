"""Where accuracy is lost: every tensor of the float model beside the same tensor of the result.

Each operator's output is compared in real values; the operators at which the error grows most, against
what came in, are named.
"""

from __future__ import annotations

from collections.abc import Sequence

from fullint.certificate import Score, integer_inputs, real
from fullint.emit import Emitted
from fullint.errors import RuntimeFailure
from fullint.ir import Array, Graph, Model, Tensor
from fullint.sandbox import Sandbox, model_file

WORST = 3


def worst_operators(model: Model, emitted: Emitted, sample: Sequence[Array] | None) -> list[str]:
    """The operators that lose most, worst first, as sentences.

    Args:
        model: the prepared float model.
        emitted: the integer model made of it.
        sample: one sample in graph input order.
    """
    if sample is None:
        return []
    pairs = [(t, emitted.int8[t]) for op in model.main.ops for t in op.outputs if t in emitted.int8 and not t.is_constant]
    try:
        reference = _all_values(model, [a for a, _ in pairs], sample)
        result = _all_values(emitted.model, [b for _, b in pairs], integer_inputs(emitted.model, sample))
    except RuntimeFailure:
        return []
    sqnr: dict[Tensor, float] = {}
    for (a, b), x, y in zip(pairs, reference, result, strict=True):
        score = Score()
        score.add(x, real(y, b))
        sqnr[a] = score.sqnr if score.sqnr is not None else 200.0
    lost = []
    for op in model.main.ops:
        for t in op.outputs:
            if t in sqnr:
                before = min((sqnr[x] for x in op.inputs if x is not None and x in sqnr), default=60.0)
                lost.append((before - sqnr[t], op, t))
    lost.sort(key=lambda item: -item[0])
    return [
        f'op {op.origin} {op.kind} "{t.name}" ({sqnr[t]:.1f} dB, {drop:.1f} lost there)'
        for drop, op, t in lost[:WORST]
        if drop > 0
    ]


def _all_values(model: Model, tensors: Sequence[Tensor], sample: Sequence[Array]) -> list[Array]:
    old = model.main
    graph = Graph(old.name, list(old.tensors), list(old.inputs), list(tensors), list(old.ops))
    graph.sync_tensors()
    with model_file(Model([graph, *model.graphs[1:]], version=model.version)) as path, Sandbox() as box:
        box.call("open", path, "xnnpack", 1)
        values: list[Array] = box.call("run", list(sample))
        return values
