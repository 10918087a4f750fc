"""What fullint reports, as frozen dataclasses. `--json` prints exactly these.

`SCHEMA_VERSION` grows when a field changes its meaning or goes away; new fields do not count.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fullint.model.census import ConvCount

SCHEMA_VERSION = 1


class Report:
    """What every report can do."""

    def to_json(self) -> str:
        """The report as JSON, indented."""
        return to_json(self)

    def rows(self) -> Iterable[Any]:
        """Its table: a dataclass or a dict for each row."""
        return [self]

    def records(self) -> list[dict[str, Any]]:
        """Its table as flat dicts, one for each row, ready for `pandas.DataFrame`: what lies deeper has dots in its name."""
        return [_flat(r if isinstance(r, dict) else dataclasses.asdict(r)) for r in self.rows()]


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A dict without dicts in it; sequences of anything but text and numbers are left out, since a cell holds none."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple) or all(isinstance(v, str | int | float | None) for v in value):
            found[f"{prefix}{key}"] = value
    return found


@dataclass(frozen=True)
class KernelSet:
    """How the result did on one kernel set.

    Attributes:
        name: "xnnpack", "builtin" or "reference".
        status: "ran", "absent" (it lacks an operator) or "faulty" (a known fault of its kernels).
        samples: how many samples it ran.
        sqnr_db: mean over the outputs, against the float model, on those samples.
        disagreement_steps: largest difference of its outputs from XNNPACK's, in output steps.
        facts: what is known of its kernels for the operators of this model.
    """

    name: str
    status: str
    samples: int = 0
    sqnr_db: float | None = None
    disagreement_steps: int | None = None
    facts: tuple[str, ...] = ()


@dataclass(frozen=True)
class OutputQuality:
    """One output against the float model.

    Attributes:
        name: tensor name.
        sqnr_db: 10 log10(sum ref^2 / sum err^2) over all samples; None for integer outputs.
        limit_db: where the kernel fixes this output's steps, the SQNR of the float output rounded to them:
            what int8 can do at best.
        largest_error: largest absolute difference, in the output's own unit.
        top1_agreement: share of rows whose largest entry is the same, where the output looks like classes.
        step: the output's own step, where it is quantized.
        equal: share of equal elements, for integer and boolean outputs.
    """

    name: str
    sqnr_db: float | None = None
    limit_db: float | None = None
    largest_error: float | None = None
    top1_agreement: float | None = None
    equal: float | None = None
    step: float | None = None


@dataclass(frozen=True)
class Certificate:
    """What was checked on the very bytes that were handed out, and what came of it.

    Attributes:
        integer: whether every operator is integer; with `except_for`, every other one.
        except_for: operators that stay float because the user asked for it.
        drawn: whether the samples were drawn from what the inputs can hold, and nobody gave them.
        reference: what the outputs were compared with.
    """

    integer: bool
    except_for: tuple[str, ...]
    checks: tuple[str, ...]
    samples: int
    held_back: bool
    drawn: bool
    uncalibrated: bool
    reference: str
    sqnr_db: float | None
    outputs: tuple[OutputQuality, ...]
    kernel_sets: tuple[KernelSet, ...]


@dataclass(frozen=True)
class CutReport:
    """A requantize that sharing parameters would have cost accuracy without, and why."""

    index: int
    kind: str
    output: str
    input: int
    why: str


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


@dataclass(frozen=True)
class QuantizeReport(Report):
    """Everything `quantize` did and found; see the field names."""

    schema_version: int
    fullint: str
    status: str
    options: dict[str, Any]
    operators: int
    float_operators: int
    operator_counts: dict[str, int]
    conv_2d: ConvCount
    changes: tuple[Change, ...] = ()
    cuts: tuple[CutReport, ...] = ()
    requantizes: tuple[Change, ...] = ()
    kept_float: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    samples: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    certificate: Certificate | None = None
    conversion: Conversion | None = None


def to_json(report: Any) -> str:
    """Any report dataclass as JSON."""
    return json.dumps(_finite(dataclasses.asdict(report)), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: text stands for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Change:
    """What was done, for the report: the pass, the operator it met and why."""

    rule: str
    index: int
    kind: str
    output: str
    why: str
    done: bool = True


Progress = Callable[[str, int, int | None], None]
"""(stage, done, total or None), called as the work goes on."""
