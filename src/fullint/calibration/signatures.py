"""Models with several signatures, each with its own graph: each is calibrated and certified on its own samples.

    samples = {"encode": [...], "decode": [...]}

Scales are decided for all graphs together, since they may share variables and constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fullint.errors import UsageError
from fullint.model.ir import Graph, Model, Tensor


@dataclass(frozen=True)
class Entry:
    """A graph that the application runs: the main graph, or the graph of a signature.

    Attributes:
        number: its index in `Model.entries`, 0 for the main graph.
        key: key of its signature, None if it has none.
        path: a file of the input model with this graph as its main graph.
        inputs, outputs: its inputs and outputs in that file.
    """

    number: int
    key: str | None
    path: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: Model, number: int, path: str) -> Entry:
        """The entry with this number, with its current inputs and outputs."""
        graph = model.entries[number]
        return cls(number, key_of(model, graph), path, tuple(graph.inputs), tuple(graph.outputs))

    def view(self, model: Model) -> Model:
        """The model with this entry's graph as its main graph; graphs are shared, not copied."""
        return view(model, model.entries[self.number])


def view(model: Model, graph: Graph) -> Model:
    """The model with another graph as its main graph; graphs are shared, not copied."""
    return replace(model, graphs=[graph, *(g for g in model.graphs if g is not graph)])


def with_outputs(model: Model, tensors: Sequence[Tensor]) -> Model:
    """The main graph with other outputs, without signatures; nothing is copied."""
    old = model.main
    graph = Graph(old.name, list(old.tensors), list(old.inputs), list(tensors), list(old.ops))
    graph.sync_tensors()
    return Model([graph, *model.graphs[1:]], version=model.version)


def with_graph(model: Model, old: Graph, new: Graph) -> Model:
    """The model with another graph in the place of one."""
    graphs = [new if g is old else g for g in model.graphs]
    signatures = [replace(s, graph=new) if s.graph is old else s for s in model.signatures]
    return replace(model, graphs=graphs, signatures=signatures)


def key_of(model: Model, graph: Graph) -> str | None:
    """Key of the first signature of a graph, or None."""
    return next((s.key for s in model.signatures if s.graph is graph), None)


def samples_of(samples: Any, entry: Entry, entries: Sequence[Entry]) -> Any:
    """The samples for one entry.

    Raises:
        UsageError: the model has several entries, and the samples are not given by signature.
    """
    if len(entries) == 1:
        named = isinstance(samples, str) and entry.key is not None and samples.startswith(f"{entry.key}=")
        if isinstance(samples, Mapping) and [*samples] == [entry.key] and entry.key not in {t.name for t in entry.inputs}:
            return samples[entry.key]
        return samples[len(entry.key or "") + 1 :] if named else samples
    keys = ", ".join(f'"{e.key}"' for e in entries)
    if not isinstance(samples, Mapping) or entry.key not in samples:
        raise UsageError(
            f"the model has {len(entries)} signatures with separate graphs ({keys}): give samples for each, "
            "as a dict by signature key or with -c KEY=DATA"
        )
    unknown = [k for k in samples if k not in {e.key for e in entries}]
    if unknown:
        raise UsageError(f'unknown signature "{unknown[0]}"; the signatures are: {keys}')
    return samples[entry.key]
