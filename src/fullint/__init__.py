"""fullint: TFLite / LiteRT models in which every operator computes on integers, and the proof of it.

The names below are the public API. They are loaded when first used, so that `import fullint` is quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fullint.version import __version__

if TYPE_CHECKING:
    from fullint.auditing.audit import AuditReport, Finding, audit
    from fullint.auditing.explain import RulePages, explain
    from fullint.auditing.inspect import inspect
    from fullint.calibration.stats_files import CalibrationStats, read_stats
    from fullint.comparing.pipeline import CompareReport, compare
    from fullint.deployment.benchmark import BenchmarkReport, benchmark
    from fullint.deployment.c_array import write_c_array
    from fullint.deployment.logs import LogReport, readlog
    from fullint.deployment.partition import PartitionReport, partition
    from fullint.errors import (
        AccuracyError,
        Blocker,
        ConversionError,
        FullintError,
        LogFormatError,
        ModelFormatError,
        NotIntegerError,
        RuntimeFailure,
        SamplesError,
        SetupError,
        UsageError,
        VerificationError,
    )
    from fullint.fleets.jobs import Job
    from fullint.fleets.manifest import read_manifest
    from fullint.fleets.pipeline import run_jobs
    from fullint.fleets.report import FleetReport
    from fullint.frontends.conversion import Converted, convert
    from fullint.frontends.environments import setup
    from fullint.model.tflite import read_model, write_model
    from fullint.ops.builder import Builder
    from fullint.options.recipes import Recipe, RecipeRule
    from fullint.pages.page import Page, page
    from fullint.pages.report_files import report
    from fullint.quantization.calibrate import calibrate, merge_stats
    from fullint.quantization.pipeline import Plan, Result, plan, quantize
    from fullint.repairing.pipeline import Repaired, RepairPlan, RepairReport, repair, repair_plan
    from fullint.sensitivities.pipeline import SensitivityReport, sensitivity

_HOMES = {
    "audit": "auditing.audit",
    "explain": "auditing.explain",
    "RulePages": "auditing.explain",
    "AuditReport": "auditing.audit",
    "benchmark": "deployment.benchmark",
    "BenchmarkReport": "deployment.benchmark",
    "Builder": "ops.builder",
    "calibrate": "quantization.calibrate",
    "merge_stats": "quantization.calibrate",
    "CalibrationStats": "calibration.stats_files",
    "read_stats": "calibration.stats_files",
    "compare": "comparing.pipeline",
    "CompareReport": "comparing.pipeline",
    "Finding": "auditing.audit",
    "FleetReport": "fleets.report",
    "Job": "fleets.jobs",
    "read_manifest": "fleets.manifest",
    "run_jobs": "fleets.pipeline",
    "partition": "deployment.partition",
    "PartitionReport": "deployment.partition",
    "readlog": "deployment.logs",
    "LogReport": "deployment.logs",
    "Recipe": "options.recipes",
    "RecipeRule": "options.recipes",
    "repair": "repairing.pipeline",
    "repair_plan": "repairing.pipeline",
    "Repaired": "repairing.pipeline",
    "RepairPlan": "repairing.pipeline",
    "RepairReport": "repairing.pipeline",
    "convert": "frontends.conversion",
    "Converted": "frontends.conversion",
    "setup": "frontends.environments",
    "inspect": "auditing.inspect",
    "plan": "quantization.pipeline",
    "Plan": "quantization.pipeline",
    "quantize": "quantization.pipeline",
    "Result": "quantization.pipeline",
    "Page": "pages.page",
    "page": "pages.page",
    "report": "pages.report_files",
    "sensitivity": "sensitivities.pipeline",
    "SensitivityReport": "sensitivities.pipeline",
    "read_model": "model.tflite",
    "write_c_array": "deployment.c_array",
    "write_model": "model.tflite",
    "AccuracyError": "errors",
    "Blocker": "errors",
    "ConversionError": "errors",
    "SetupError": "errors",
    "FullintError": "errors",
    "LogFormatError": "errors",
    "ModelFormatError": "errors",
    "NotIntegerError": "errors",
    "RuntimeFailure": "errors",
    "SamplesError": "errors",
    "UsageError": "errors",
    "VerificationError": "errors",
}

__all__ = [
    "AccuracyError",
    "AuditReport",
    "BenchmarkReport",
    "Blocker",
    "Builder",
    "CalibrationStats",
    "CompareReport",
    "ConversionError",
    "Converted",
    "Finding",
    "FleetReport",
    "FullintError",
    "Job",
    "LogFormatError",
    "LogReport",
    "ModelFormatError",
    "NotIntegerError",
    "Page",
    "PartitionReport",
    "Plan",
    "Recipe",
    "RecipeRule",
    "RepairPlan",
    "RepairReport",
    "Repaired",
    "Result",
    "RulePages",
    "RuntimeFailure",
    "SamplesError",
    "SensitivityReport",
    "SetupError",
    "UsageError",
    "VerificationError",
    "__version__",
    "audit",
    "benchmark",
    "calibrate",
    "compare",
    "convert",
    "explain",
    "inspect",
    "merge_stats",
    "page",
    "partition",
    "plan",
    "quantize",
    "read_manifest",
    "read_model",
    "read_stats",
    "readlog",
    "repair",
    "repair_plan",
    "report",
    "run_jobs",
    "sensitivity",
    "setup",
    "write_c_array",
    "write_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fullint' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"fullint.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
