"""The report of a conversion to a float model, as `--json` prints it."""

from __future__ import annotations

from dataclasses import dataclass

from fullint.documents import Document
from fullint.frontends.report_document import conversion_document
from fullint.reporting import SCHEMA_VERSION, Report


@dataclass(frozen=True, repr=False)
class Conversion(Report):
    """How a float `.tflite` was made.

    Attributes:
        framework: "keras", "torch", "onnx" or "onnx-tensorflow".
        tool: name of the converter.
        versions: versions of the converter and its main dependencies.
        python: path of the Python interpreter it ran in.
        attempt: which of the converter's ways was used, from 0.
        sqnr_db: mean SQNR of the float outputs against the framework on one sample, in dB; None if nothing could be
            compared.
        equal: share of equal elements of the other outputs, 0 to 1.
        log: path of the converter's log.
        kept: whether it was made by an earlier run, of the same content.
    """

    framework: str
    tool: str
    versions: dict[str, str]
    python: str
    attempt: int
    sqnr_db: float | None
    equal: float | None
    log: str
    kept: bool = False
    schema_version: int = SCHEMA_VERSION

    def document(self) -> Document:
        """What the report says."""
        return conversion_document(self)
