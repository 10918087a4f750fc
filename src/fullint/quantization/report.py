"""The report of one run, put together from what its stages left; and the run that has nothing to do."""

from __future__ import annotations

import hashlib
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fullint.calibration.samples import Split
from fullint.errors import VerificationError
from fullint.frontends.report import Conversion
from fullint.model.census import ConvCount, count_conv, count_float, operator_counts
from fullint.model.tflite import read_model
from fullint.quantization.assignment import Assignment
from fullint.quantization.emit import Emitted
from fullint.quantization.options import Options
from fullint.reporting import SCHEMA_VERSION, Change, Report
from fullint.runtime.messages import TensorShapes
from fullint.verification.contract import contract_problems
from fullint.verification.report import Certificate
from fullint.version import __version__

if TYPE_CHECKING:
    from fullint.quantization.job import Job

_WITHOUT_EFFECT = ("activations", "io", "per_tensor", "dense_per_tensor", "batch", "keep_float", "shape", "target")
"""Options that change nothing where nothing is float."""


def report_of(
    job: Job, status: str, data: bytes, assignment: Assignment, emitted: Emitted, certificate: Certificate | None
) -> QuantizeReport:
    """Everything a run did and found."""
    before = len(job.source) if isinstance(job.source, bytes) else Path(job.source).stat().st_size
    splits = [e.split for e in job.entries if e.split is not None]
    left = (f'{c.rule} left {c.kind} "{c.output}": {c.why}' for c in job.changes if not c.done)
    return QuantizeReport(
        schema_version=SCHEMA_VERSION,
        fullint=__version__,
        status=status,
        options=_options(job),
        operators=sum(1 for _ in emitted.model.ops()),
        float_operators=count_float(emitted.model),
        operator_counts=operator_counts(emitted.model),
        conv_2d=count_conv(emitted.model),
        changes=tuple(c for c in job.changes if c.done),
        cuts=tuple(CutReport(c.op.origin, c.op.kind, c.where, c.input, c.why) for c in assignment.cuts),
        requantizes=tuple(emitted.requantizes),
        kept_float=tuple(emitted.kept.values()),
        notes=(*assignment.notes, *left),
        warnings=tuple(job.warnings),
        samples=_samples(splits),
        sizes={"before": before, "after": len(data)},
        seconds=dict(job.seconds),
        peak_memory_bytes=_own_peak() + max(job.worker_peak, job.worker.peak_memory()),
        certificate=certificate,
        conversion=job.conversion,
    )


def _samples(splits: Sequence[Split]) -> dict[str, Any]:
    if not splits:
        return {}
    return {
        "calibrated": sum(s.calibrated for s in splits),
        "total": sum(s.total for s in splits),
        "held_back": all(s.held_back for s in splits),
    }


def _options(job: Job) -> dict[str, Any]:
    o = job.options
    return {
        "model": f"sha256:{hashlib.sha256(job.given).hexdigest()}" if isinstance(job.given, bytes) else str(job.given),
        "num_samples": o.num_samples,
        "per_tensor": o.per_tensor,
        "dense_per_tensor": o.dense_per_tensor,
        "activations": o.activations,
        "io": ",".join(dict.fromkeys(o.io_types)),
        "target": o.target,
        "keep_float": o.kept,
        "shape": [o.shape] if isinstance(o.shape, str) else list(o.shape),
        "batch": o.batch,
        "framework": o.framework,
        "min_sqnr": o.min_sqnr,
        "synthetic": o.synthetic,
    }


def _own_peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def already_integer(job: Job) -> tuple[bytes, QuantizeReport]:
    """The given model, where it has no float operator: checked and run, and what its user should know.

    Raises:
        VerificationError: it breaks the contract all the same.
    """
    data = job.source if isinstance(job.source, bytes) else Path(job.source).read_bytes()
    problems = list(contract_problems(read_model(data)))
    dynamic = [p for p in problems if p.endswith("has a dynamic shape")]
    if len(problems) > len(dynamic):
        broken = [p for p in problems if p not in dynamic]
        raise VerificationError(broken, "the model has no float operator, but breaks the contract")
    with job.stage("certify"):
        job.worker.call(TensorShapes(job.path))
    job.warnings += dynamic[:1]
    if any(t.dtype == "uint8" and t.is_constant and t.quant is not None for t in job.model.main.tensors):
        job.warnings.append("it is a uint8 model of the older scheme: all integer, but not int8")
    changed = [n for n, v in vars(Options()).items() if n in _WITHOUT_EFFECT and v != getattr(job.options, n)]
    if changed:
        job.warnings.append(f"{', '.join(changed)}: no effect on a model that is all integer already")
    return data, report_of(job, "already-integer", data, Assignment(), Emitted(job.model), None)


@dataclass(frozen=True)
class CutReport:
    """A requantize that sharing parameters would have cost accuracy without, and why."""

    index: int
    kind: str
    output: str
    input: int
    why: str


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
