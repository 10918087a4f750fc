"""Which operators of the integer model are refined, and on how many samples: decided before anything is run.

float CONV_2D --> y    integer CONV_2D --> y'    y' is the integer form of y    =>    a pair
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fullint.model.ir import Graph, Model, Op, Tensor, Uses
from fullint.ops import ROWS, Role, traits_of
from fullint.ops.base import Same
from fullint.ops.macs import total_macs
from fullint.passes.as_trained import Rounding
from fullint.quantization.emit import Emitted
from fullint.quantization.pieces import cut, without_state
from fullint.quantization.side_by_side import Pair, data_of, weights_of

MOST_SAMPLES, FEWEST_SAMPLES = 24, 6
LIVE_BYTES = 96_000_000
"""Of the values of one model that are kept at a time."""
SAMPLE_BYTES = 16_000_000
BUDGET_MACS = 60_000_000_000


def weighted(graph: Graph) -> list[Op]:
    """The operators of a float graph that can be refined, but for their state."""
    return [
        op
        for op in graph.ops
        if (row := ROWS.get(op.kind)) is not None
        and row.weight is not None
        and not op.keep_float
        and (w := op.input(row.weight)) is not None
        and w.buffer is not None
        and w.dtype == "float32"
        and data_of(op).dtype == "float32"
        and not data_of(op).is_constant
        and row.taps(op) is not None
    ]


def heads(graph: Graph) -> list[Op]:
    """The operators with weights whose results reach an output through nothing but what keeps channels in place."""
    uses = Uses(graph)
    waiting, seen, found = list(graph.outputs), set[Tensor](), set[Op]()
    while waiting:
        t = waiting.pop()
        op = uses.producer.get(t)
        if t in seen or op is None or op.keep_float:
            continue
        seen.add(t)
        row = ROWS.get(op.kind)
        if row is not None and row.weight is not None:
            found.add(op)
        elif traits_of(op.kind).passes_means:
            waiting += [x for x in op.inputs if x is not None and x.dtype == "float32" and not x.is_constant]
    return [op for op in weighted(graph) if op in found and not op.options.get("fused_activation_function")]


def operators_to_refine(graph: Graph, effort: Callable[[Op], str], rounding: Rounding | None = None) -> list[Op]:
    """Those of the main float graph: all, but of those whose effort is fast, the last ones only; none that were trained for it.

    Args:
        graph: the main one.
        effort: of an operator.
        rounding: how the model was trained to round.
    """
    last = {*heads(graph)}
    chosen = [op for op in weighted(graph) if op in last or effort(op) != "fast"]
    return _without_trained(graph, chosen, rounding) if rounding else chosen


def _without_trained(graph: Graph, chosen: Sequence[Op], rounding: Rounding) -> list[Op]:
    """Those whose weights or data were not trained to be rounded; the others compute what they did in training, to a step.

    Their mean error is that of ties and of single steps, which samples differ in: to take it back would add to it.
    """
    uses = Uses(graph)

    def trained(t: Tensor) -> bool:
        waiting = [t]
        while waiting:
            t = waiting.pop()
            op = uses.producer.get(t)
            row = ROWS.get(op.kind) if op is not None else None
            if t in rounding or t.is_constant:
                continue
            if op is None or row is None or not isinstance(row.output(op.outputs.index(t)), Same):
                return False
            waiting += [x for i, x in enumerate(op.inputs) if x is not None and row.role(i) is Role.SAME]
        return True

    return [op for op in chosen if weights_of(op).quant is None or not trained(data_of(op))]


def sample_count(model: Model, chosen: Sequence[Op]) -> int:
    """How many samples may be kept and run, bounded in memory and in work; 0: too few to help."""
    if not chosen:
        return 0
    size = sum(t.size * 4 for t in model.main.inputs)
    live = most = size
    for piece in cut(model.main, chosen, {data_of(chosen[-1])}):
        live += sum(t.size * 4 for t in piece.gives)
        most = max(most, live)
        live -= sum(t.size * 4 for t in piece.drops)
    in_memory = min(SAMPLE_BYTES // max(size, 1), LIVE_BYTES // max(most, 1))
    if in_memory < FEWEST_SAMPLES and most * FEWEST_SAMPLES <= 5 * LIVE_BYTES:
        in_memory = FEWEST_SAMPLES
    count = min(MOST_SAMPLES, in_memory, BUDGET_MACS // max(total_macs(model), 1))
    return count if count >= FEWEST_SAMPLES else 0


def pairs(model: Model, emitted: Emitted, chosen: Sequence[Op]) -> list[Pair]:
    """The operators of the integer model that some of the float model have become, in order."""
    made_by = {t: op for op in emitted.model.main.ops for t in op.outputs}
    integer = {op: made_by.get(emitted.int8.get(op.outputs[0], op.outputs[0])) for op in chosen}
    order = {op: i for i, op in enumerate(emitted.model.main.ops)}
    found = [Pair(exact, op) for exact, op in integer.items() if op is not None and op.kind == exact.kind and _integer(op)]
    found.sort(key=lambda pair: order[pair.integer])
    first = {*without_state(model.main, [p.exact for p in found])}
    second = {*without_state(emitted.model.main, [p.integer for p in found])}
    return [p for p in found if p.exact in first and p.integer in second]


def _integer(op: Op) -> bool:
    return all(t.dtype in ("int8", "int16") and t.quant is not None for t in (data_of(op), weights_of(op)))


def staying(emitted: Emitted, found: Sequence[Pair]) -> dict[Op, str]:
    """Integer operators whose weights are not rounded anew, and why."""
    readers = Counter(t for _, op in emitted.model.ops() for t in op.inputs if t is not None and t.is_constant)
    why = {}
    for pair in found:
        if weights_of(pair.exact).quant is not None:
            why[pair.integer] = "they came as integers"
        elif readers[weights_of(pair.integer)] > 1:
            why[pair.integer] = "other operators share them"
    return why
