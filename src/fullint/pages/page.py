"""A report as a page: its document, with the graphs of its models before it.

page(report, "float.tflite", result.model, samples="samples.npz").save("report.html")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullint.auditing.audit import read_for_audit
from fullint.calibration.samples import Reading, open_samples, slots
from fullint.documents import Block, Document
from fullint.documents.graph import GraphHistogram
from fullint.documents.html import framed, render
from fullint.errors import OutputExistsError
from fullint.files import write_atomically
from fullint.model.ir import Array, Model, Tensor
from fullint.model.tflite import is_tflite
from fullint.pages.graphs import Overlay, graph_of
from fullint.pages.histograms import histograms
from fullint.pages.overlays import overlays
from fullint.pages.summary import summary
from fullint.pages.tables import pictures, tables
from fullint.reporting import Report
from fullint.runtime.process import WorkerProcess

_MOST_SAMPLES = 16
"""That histograms are made of."""
_Source = str | Path | bytes


@dataclass(frozen=True, repr=False)
class Page:
    """An HTML file, as a value."""

    html: str

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the file, whole or not at all.

        Args:
            path: of the file.
            force: overwrite it if it exists.

        Raises:
            OutputExistsError: it exists, and `force` is not set.
            UsageError: it cannot be written.
        """
        if Path(path).exists() and not force:
            raise OutputExistsError(f"{path} exists; force=True overwrites it")
        write_atomically(path, self.html.encode(), over=force)

    def _repr_html_(self) -> str:
        """The page as notebooks show it."""
        return framed(self.html)

    def __repr__(self) -> str:
        """How large it is."""
        return f"Page({len(self.html)} characters)"


def page(report: Report, *models: _Source, samples: Any = None) -> Page:
    """A report as one HTML file that opens without a network and without a server.

    Args:
        report: what any call returns, or the `report` of its result.
        models: the models that it is about, in its order: path or bytes; of `quantize` and `repair` the given one and the result,
            of `compare` the float one and the integer one.
        samples: as in `quantize`; with them, ranges have histograms.

    Raises:
        ModelFormatError: a file is not a model.
        SamplesError: the samples do not fit.
    """
    return Page(render(pictured(report, models, samples)))


def pictured(report: Report, models: Sequence[_Source] = (), samples: Any = None) -> Document:
    """The document of a report with its models, those that are `.tflite` files."""
    blocks: tuple[Block, ...] = report.document().blocks
    models = [m for m in models if is_tflite(m)]
    read = [read_for_audit(m) for m in models]
    if not read:
        return Document((*blocks, *tables(report, 0)))
    said = [*overlays(report, read), *([Overlay()] * len(read))][: len(read)]
    if len(read) == 2 and not said[1].twins:
        said[1] = replace(said[1], twins=_by_name(*read))
    drawn = _drawn(read, samples) if samples is not None else []
    found = _histograms(read[-1], drawn)
    titles = [Path(m).name if isinstance(m, str | Path) else "the result" for m in models]
    graphs = tuple(graph_of(m, title, o, found) for m, title, o in zip(read, titles, said, strict=True))
    return Document((*summary(report, read), *graphs, *blocks, *tables(report, len(graphs)), *pictures(drawn)))


def _by_name(before: Model, after: Model) -> dict[int, list[int]]:
    """Operators of the result -> those of the given model that write a tensor of the same name."""
    places = {t.name: i for i, op in enumerate(before.main.ops) for t in op.outputs}
    return {
        i: [places[name]]
        for i, op in enumerate(after.main.ops)
        for name in [next((t.name for t in op.outputs if t.name in places), None)]
        if name is not None
    }


def _drawn(read: Sequence[Model], samples: Any) -> list[list[Array]]:
    """Some samples, for the inputs of the given model; none where the last one has others."""
    given, last = read[0].main.inputs, read[-1].main.inputs
    if [t.shape[1:] for t in given] != [t.shape[1:] for t in last]:
        return []
    return [list(sample) for sample in open_samples(samples, slots(read[0], tuple(given)), Reading(num_samples=_MOST_SAMPLES))]


def _histograms(model: Model, drawn: Sequence[Sequence[Array]]) -> dict[Tensor, GraphHistogram]:
    if not drawn:
        return {}
    with WorkerProcess("the model") as worker:
        return histograms(model, drawn, worker)
