"""What a run of `quantize` reports: put together from what its stages handed on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fullint.calibration.samples.findings import SampleFinding
from fullint.documents import Document
from fullint.errors import VerificationError
from fullint.frontends.report import Conversion
from fullint.model.census import ConvCount, count_conv, count_float, operator_counts
from fullint.model.ir import Model, Tensor
from fullint.model.numerics import representable
from fullint.model.tflite import read_model
from fullint.options import recipe_of_run, reported
from fullint.quantization.range_effect import RangesReport
from fullint.quantization.report_document import quantize_document
from fullint.quantization.stage_values import Calibrated, Loaded, MixedReport, Source, TriedForm, Written
from fullint.quantization.workbench import Workbench
from fullint.reporting import SCHEMA_VERSION, Change, ModelResult, Report
from fullint.runtime.litert_release import PACKAGE, untested
from fullint.verification.contract import contract_problems
from fullint.verification.report import Certificate
from fullint.version import __version__

_WITHOUT_EFFECT = (
    *("activations", "io", "per_tensor", "dense_per_tensor", "batch", "keep_float", "shape", "target"),
    *("int16", "split_outputs", "allow_lost", "ranges", "mixed", "recipe"),
)
"""Options that change nothing where nothing is float."""


@dataclass(frozen=True)
class CutReport:
    """A requantize that sharing parameters would have cost accuracy without, and why."""

    index: int
    kind: str
    output: str
    input: int
    why: str


@dataclass(frozen=True)
class EndReport:
    """An input or output of the result: what its codes stand for, where it is quantized.

    Attributes:
        name: tensor name.
        dtype: element type.
        scale, zero_point: real value = scale * (code - zero_point); None where it is not quantized.
        low, high: real values of the smallest and the largest code.
    """

    name: str
    dtype: str
    scale: float | None = None
    zero_point: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, repr=False)
class QuantizeReport(Report):
    """Everything `quantize` did and found; see the field names."""

    schema_version: int
    fullint: str
    versions: dict[str, str]
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
    sample_findings: tuple[SampleFinding, ...] = ()
    inputs: tuple[EndReport, ...] = ()
    outputs: tuple[EndReport, ...] = ()
    normalization: dict[str, Any] | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    certificate: Certificate | None = None
    corrected: Certificate | None = None
    conversion: Conversion | None = None
    ranges: RangesReport | None = None
    trials: tuple[TriedForm, ...] = ()
    recipe: dict[str, Any] = field(default_factory=dict)
    mixed: MixedReport | None = None

    def document(self) -> Document:
        """What the report says."""
        return quantize_document(self)


@dataclass(frozen=True, repr=False)
class Result(ModelResult):
    """An all-integer model and how it came about.

    Attributes:
        model: the `.tflite` file.
        report: what was done, and the certificate.
    """

    model: bytes
    report: QuantizeReport

    def _report(self) -> QuantizeReport:
        return self.report


def report_result(
    bench: Workbench,
    written: Written,
    certificate: Certificate,
    warnings: Sequence[str],
    corrected: Certificate | None = None,
    findings: Sequence[SampleFinding] = (),
    ranges: RangesReport | None = None,
) -> QuantizeReport:
    """The report of a run that went through all stages; `warnings` are those of the last one."""
    assigned = written.assigned
    calibrated, assignment = assigned.calibrated, assigned.assignment
    prepared = calibrated.prepared
    loaded = prepared.loaded
    changes = (*loaded.changes, *prepared.changes, *calibrated.changes, *assigned.changes, *written.changes)
    emitted = written.emitted
    return QuantizeReport(
        **_of_model(emitted.model),
        **_of_run(bench, loaded, written.data),
        status="quantized",
        changes=tuple(c for c in changes if c.done),
        cuts=tuple(CutReport(c.op.origin, c.op.kind, c.where, c.input, c.why) for c in assignment.cuts),
        requantizes=tuple(emitted.requantizes),
        kept_float=tuple(emitted.kept.values()),
        notes=(*prepared.notes, *assignment.notes, *_left(changes)),
        warnings=(*prepared.warnings, *calibrated.warnings, *written.warnings, *warnings, *untested()),
        samples=_samples(calibrated),
        sample_findings=tuple(findings),
        inputs=tuple(map(_end, emitted.model.main.inputs)),
        outputs=tuple(map(_end, emitted.model.main.outputs)),
        normalization=_normalization(calibrated),
        certificate=certificate,
        corrected=corrected,
        ranges=ranges,
        trials=written.trials,
        recipe=recipe_of_run(loaded.request.options, calibrated.found_rules).tables(),
        mixed=calibrated.mixed,
    )


def report_unchanged(bench: Workbench, loaded: Loaded, data: bytes, status: str, warnings: Sequence[str] = ()) -> QuantizeReport:
    """The report of a run that hands on what it was given."""
    return QuantizeReport(
        **_of_model(loaded.model),
        **_of_run(bench, loaded, data),
        status=status,
        changes=tuple(c for c in loaded.changes if c.done),
        notes=_left(loaded.changes),
        warnings=(*warnings, *untested()),
        recipe=recipe_of_run(loaded.request.options).tables(),
    )


def report_integer(bench: Workbench, loaded: Loaded) -> Result:
    """The given model, where it has no float operator: checked and run, and what its user should know.

    Raises:
        VerificationError: it breaks the contract all the same.
    """
    data = given_bytes(loaded.source)
    problems = list(contract_problems(read_model(data)))
    dynamic = [p for p in problems if p.endswith("has a dynamic shape")]
    if len(problems) > len(dynamic):
        broken = [p for p in problems if p not in dynamic]
        raise VerificationError(broken, "the model has no float operator, but breaks the contract")
    with bench.stage("certify"):
        bench.shapes(loaded.entries[0].path)
    warnings = dynamic[:1]
    if any(t.dtype == "uint8" and t.is_constant and t.quant is not None for t in loaded.model.main.tensors):
        warnings.append("it is a uint8 model of the older scheme: all integer, but not int8")
    o = loaded.options
    changed = [f.name for f in fields(o) if f.name in _WITHOUT_EFFECT and f.default != getattr(o, f.name)]
    if changed:
        warnings.append(f"{', '.join(changed)}: no effect on a model that is all integer already")
    return Result(data, report_unchanged(bench, loaded, data, "already-integer", warnings))


def given_bytes(source: Source) -> bytes:
    """The bytes of a model that was given by path or as bytes."""
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _of_model(model: Model) -> dict[str, Any]:
    return {
        "operators": sum(1 for _ in model.ops()),
        "float_operators": count_float(model),
        "operator_counts": operator_counts(model),
        "conv_2d": count_conv(model),
    }


def _of_run(bench: Workbench, loaded: Loaded, data: bytes) -> dict[str, Any]:
    before = len(loaded.source) if isinstance(loaded.source, bytes) else Path(loaded.source).stat().st_size
    return {
        "schema_version": SCHEMA_VERSION,
        "fullint": __version__,
        "versions": _versions(),
        "options": reported(replace(loaded.request.options, effort=loaded.options.effort)),
        "sizes": {"before": before, "after": len(data)},
        "seconds": dict(bench.seconds),
        "peak_memory_bytes": _own_peak() + bench.peak_memory(),
        "conversion": loaded.conversion,
    }


def _left(changes: Sequence[Change]) -> tuple[str, ...]:
    """Patterns that were recognised and left alone, in sentences."""
    return tuple(dict.fromkeys(f'{c.rule} left {c.kind} "{c.output}": {c.why}' for c in changes if not c.done))


def _end(t: Tensor) -> EndReport:
    if t.quant is None or t.quant.scale.size != 1 or t.is_float:
        return EndReport(t.name, t.dtype)
    span = representable(t.quant, t.dtype)
    return EndReport(t.name, t.dtype, float(t.quant.scale[0]), int(t.quant.zero_point[0]), span.low, span.high)


def _normalization(calibrated: Calibrated) -> dict[str, Any] | None:
    """How pixels of a folder of images became values; None where the samples are none."""
    read = calibrated.samples[0].images if calibrated.samples else None
    return None if read is None else {"mean": list(read.mean), "std": list(read.std), "layout": read.layout}


def _samples(calibrated: Calibrated) -> dict[str, Any]:
    held = calibrated.held
    return {
        "seed": calibrated.prepared.loaded.options.seed,
        "left_out": list(calibrated.outlier_samples) if calibrated.prepared.loaded.options.drop_outliers else [],
        "calibrated": sum(h.calibrated for h in held) if calibrated.elsewhere is None else calibrated.elsewhere,
        "total": sum(h.total for h in held) + (calibrated.elsewhere or 0),
        "held_back": all(h.held_back for h in held),
        "sha256": calibrated.digest,
    }


def _versions() -> dict[str, str]:
    """Versions of what the bytes of a result depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for package in (PACKAGE, "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _own_peak() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
