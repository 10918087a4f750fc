"""What is known of operators as data for Google's Model Explorer, which lays it over the graph of a model.

    GraphBlock(nodes, measures)   =>   {"main": {"name": "time (us)", "results": {tensor: {"value": 12.5}}, "gradient": [...]}}

A file holds one kind of data; operators are found by the name of what they write (model_explorer/node_data_builder.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from fullint.documents.document import Document
from fullint.documents.graph import GraphBlock, GraphMeasure, GraphNode

GRAPH_ID = "main"
"""The id that Model Explorer gives the first graph of a .tflite."""
_TYPES = {"int": (8, "#bfe3c8", "#0b4a1f"), "float": (32, "#ffc9b8", "#7a1f00"), "other": (0, "#d9dee5", "#343b43")}
_RAMP = ("#ffffff", "#d9480f")


def first(document: Document) -> str:
    """The data that most is to be seen in: what was measured, else partitions, findings, types."""
    return next(iter(overlays(document).values()), json.dumps({GRAPH_ID: {"name": "nothing", "results": {}}}))


def others(document: Document) -> dict[str, str]:
    """The other data, by a word for each that goes into the file's name."""
    return dict(list(overlays(document).items())[1:])


def overlays(document: Document) -> dict[str, str]:
    """All data of the last graph: word -> JSON."""
    graphs = [b for b in document.blocks if isinstance(b, GraphBlock)]
    return {word: json.dumps({GRAPH_ID: body}, indent=1) for word, body in _of(graphs[-1])} if graphs else {}


def _of(graph: GraphBlock) -> Iterator[tuple[str, dict[str, Any]]]:
    for m in graph.measures:
        yield m.name.split(",")[0].replace("'", "").replace(" ", "-"), _measured(graph, m)
    if any(n.piece is not None for n in graph.nodes):
        yield "partition", _body(graph, "runs on the delegate (1) or not (0)", lambda n: _colored(int((n.piece or 0) >= 0)))
    if any(n.marks for n in graph.nodes):
        yield "findings", _body(graph, "findings", lambda n: {"value": len(n.marks), "bgColor": "#f0b866"} if n.marks else None)
    yield "type", _body(graph, "bits of the activations", _bits)


def _measured(graph: GraphBlock, m: GraphMeasure) -> dict[str, Any]:
    values = dict(zip((n.name for n in graph.nodes), m.values, strict=True))
    results = {name: {"value": value} for name, value in values.items() if value is not None}
    ramp = _RAMP[::-1] if m.low_is_bad else _RAMP
    gradient = [{"stop": stop, "bgColor": color} for stop, color in zip((0, 1), ramp, strict=True)]
    return {"name": f"{m.name} ({m.unit})", "results": results, "gradient": gradient}


def _body(graph: GraphBlock, name: str, value: Any) -> dict[str, Any]:
    results: Mapping[str, Any] = {n.name: found for n in graph.nodes if (found := value(n)) is not None}
    return {"name": name, "results": results}


def _colored(taken: int) -> dict[str, Any]:
    _, ground, ink = _TYPES["int" if taken else "float"]
    return {"value": taken, "bgColor": ground, "textColor": ink}


def _bits(node: GraphNode) -> dict[str, Any]:
    bits, ground, ink = _TYPES[node.type]
    return {"value": 16 if node.badge == "int16" else bits, "bgColor": ground, "textColor": ink}
