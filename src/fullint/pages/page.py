"""A report as a page: its document, with the graphs of its models before it.

page(report, "float.tflite", result.model, samples="samples.npz").save("report.html")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fullint.auditing.audit import read_for_audit
from fullint.calibration.samples import ImageOptions, Reading, open_samples, slots
from fullint.documents import Block, Document, Line
from fullint.documents.graph import GraphHistogram
from fullint.documents.html import framed, render
from fullint.errors import FullintError, SamplesError
from fullint.files import save
from fullint.model.ir import Array, Model, Tensor
from fullint.options import numbers
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
        save(path, self.html.encode(), force=force)

    def _repr_html_(self) -> str:
        """The page as notebooks show it."""
        return framed(self.html)

    def __repr__(self) -> str:
        """How large it is."""
        return f"Page({len(self.html)} characters)"


def page(
    report: Report,
    *models: _Source,
    samples: Any = None,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 255.0,
    layout: str = "NHWC",
    labels: Any = None,
) -> Page:
    """A report as one HTML file that opens without a network and without a server.

    Args:
        report: what any call returns, or the `report` of its result.
        models: the models that it is about, in its order: path or bytes; of `quantize` and `repair` the given one and the result,
            of `compare` the float one and the integer one.
        samples: as in `quantize`; with them, ranges have histograms. Where they do not fit the models, the page says so.
        mean, std, layout, labels: how samples are read; as in `quantize`.

    Raises:
        ModelFormatError: a file is not a model.
    """
    reading = reading_of({"mean": mean, "std": std, "layout": layout, "labels": labels})
    return Page(render(pictured(report, models, samples, reading)))


def pictured(report: Report, models: Sequence[_Source] = (), samples: Any = None, reading: Reading | None = None) -> Document:
    """The document of a report with its models.

    Args:
        report: of any command.
        models: those that it is about.
        samples: as in `quantize`, for the first of them.
        reading: how they are read.
    """
    blocks: tuple[Block, ...] = report.document().blocks
    read = [read_for_audit(m) for m in models]
    if not read:
        return Document((*blocks, *tables(report, 0)))
    said = [*overlays(report, read), *([Overlay()] * len(read))][: len(read)]
    if len(read) == 2 and not said[1].twins:
        said[1] = replace(said[1], twins=_by_name(*read))
    drawn: list[list[Array]] = []
    found: dict[Tensor, GraphHistogram] = {}
    notes: tuple[Block, ...] = ()
    if samples is not None:
        try:
            drawn = _drawn(read, samples, reading or reading_of({}))
            found = _histograms(read[-1], drawn)
        except FullintError as e:  # the report is made, and has to be shown
            notes = (Line(f"there are no histograms of the ranges: {e}", "note"),)
    titles = [Path(m).name if isinstance(m, str | Path) else "the result" for m in models]
    graphs = tuple(graph_of(m, title, o, found) for m, title, o in zip(read, titles, said, strict=True))
    return Document((*summary(report, read), *notes, *graphs, *blocks, *tables(report, len(graphs)), *pictures(drawn)))


def reading_of(options: Mapping[str, Any]) -> Reading:
    """How a command's options say that samples are read."""
    images = ImageOptions()
    if "mean" in options:
        images = ImageOptions(numbers(options["mean"]), numbers(options["std"]), options["layout"])
    return Reading(_MOST_SAMPLES, images, labels=options.get("labels"))


def _by_name(before: Model, after: Model) -> dict[int, list[int]]:
    """Operators of the result -> those of the given model that write a tensor of the same name."""
    places = {t.name: i for i, op in enumerate(before.main.ops) for t in op.outputs}
    return {
        i: [places[name]]
        for i, op in enumerate(after.main.ops)
        for name in [next((t.name for t in op.outputs if t.name in places), None)]
        if name is not None
    }


def _drawn(read: Sequence[Model], samples: Any, reading: Reading) -> list[list[Array]]:
    """Some samples of real numbers, in the order of the inputs of the given model, which the last one has, too.

    Raises:
        SamplesError: they do not fit.
    """
    given, last = read[0].main.inputs, read[-1].main.inputs
    if isinstance(samples, Mapping) or [t.shape[1:] for t in given] != [t.shape[1:] for t in last]:
        raise SamplesError("the samples are for other inputs than the result's")
    real = [t if t.is_float or t.quant is None else replace(t, dtype="float32", quant=None) for t in given]
    return [list(sample) for sample in open_samples(samples, slots(read[0], real), reading)]


def _histograms(model: Model, drawn: Sequence[Sequence[Array]]) -> dict[Tensor, GraphHistogram]:
    if not drawn:
        return {}
    with WorkerProcess("the model") as worker:
        return histograms(model, drawn, worker)
