"""How a float model was made of a framework's, as `--json` prints it."""

from __future__ import annotations

from dataclasses import dataclass

from fullint.reporting import SCHEMA_VERSION, Report


@dataclass(frozen=True)
class Conversion(Report):
    """How a float `.tflite` was made.

    Attributes:
        framework: "keras", "torch" or "onnx".
        tool: what converted.
        versions: of the tool and what it rests on.
        python: the interpreter it ran in.
        attempt: which of the tool's ways was taken, from 0.
        sqnr_db: the `.tflite` against the framework itself, mean over the float outputs, on one random sample; None where
            nothing could be compared.
        equal: share of equal elements of the other outputs.
        log: file that holds what the tool printed.
    """

    framework: str
    tool: str
    versions: dict[str, str]
    python: str
    attempt: int
    sqnr_db: float | None
    equal: float | None
    log: str
    schema_version: int = SCHEMA_VERSION
