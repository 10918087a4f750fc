"""Models with several signatures, each with a graph of its own: each is calibrated and certified on its own samples.

    samples = {"encode": [...], "decode": [...]}

Scales are decided for all of them together, since they may share variables and constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fullint.errors import UsageError
from fullint.model.ir import Graph, Model, Tensor


@dataclass(frozen=True)
class Entry:
    """A graph that is run with inputs from outside.

    Attributes:
        number: its place among the entries of the model (`Model.entries`), 0 for the main graph.
        key: of its signature, None where it has none.
        path: a file whose main graph it is, as it was given.
        inputs, outputs: its ends in that file.
    """

    number: int
    key: str | None
    path: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: Model, number: int, path: str) -> Entry:
        """An entry of a model, its ends as they are now."""
        graph = model.entries[number]
        return cls(number, key_of(model, graph), path, tuple(graph.inputs), tuple(graph.outputs))

    def view(self, model: Model) -> Model:
        """A model with this entry's graph as the one that runs; everything is shared."""
        return view(model, model.entries[self.number])


def view(model: Model, graph: Graph) -> Model:
    """The model with another graph as the one that runs; everything is shared."""
    return replace(model, graphs=[graph, *(g for g in model.graphs if g is not graph)])


def key_of(model: Model, graph: Graph) -> str | None:
    """Key of the first signature that enters a graph."""
    return next((s.key for s in model.signatures if s.graph is graph), None)


def samples_of(samples: Any, entry: Entry, entries: Sequence[Entry]) -> Any:
    """The samples of one entry.

    Raises:
        UsageError: there are several entries and the samples are not given by signature.
    """
    if len(entries) == 1:
        named = isinstance(samples, str) and entry.key is not None and samples.startswith(f"{entry.key}=")
        return samples[len(entry.key or "") + 1 :] if named else samples
    keys = ", ".join(f'"{e.key}"' for e in entries)
    if not isinstance(samples, Mapping) or entry.key not in samples:
        raise UsageError(
            f"the model has {len(entries)} signatures with graphs of their own ({keys}): give samples for each, "
            "as a dict by signature, or -c KEY=DATA for each"
        )
    unknown = [k for k in samples if k not in {e.key for e in entries}]
    if unknown:
        raise UsageError(f'no signature is called "{unknown[0]}"; there are {keys}')
    return samples[entry.key]
