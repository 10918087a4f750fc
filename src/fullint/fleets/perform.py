"""One job done: the call made, its result written, its figures and exit code found; or taken from the cache.

    Job --key--> in the cache?  yes: written from there, "kept"
                                no:  the call --> result, report --> written, put into the cache, "done"

A job whose files change while it is done fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fullint.auditing.rules.base import LEVELS
from fullint.errors import FullintError, OutputExistsError, SamplesError, message_of
from fullint.files import write_atomically
from fullint.fleets.cache import Cache, CachedWork
from fullint.fleets.jobs import OF_SUMMARIES, Job
from fullint.fleets.keys import key_of
from fullint.fleets.manifest import call_of
from fullint.fleets.outcome import JobOutcome
from fullint.reporting import to_json


def perform(
    job: Job, cache: Cache | None = None, *, force: bool = False, call: Callable[[Job], CachedWork] | None = None
) -> JobOutcome:
    """Do a job; what goes wrong is part of the outcome.

    Args:
        job: what to do.
        cache: of finished work.
        force: whether an output that is there is overwritten.
        call: makes the call somewhere else; here, if it is None.
    """
    start = time.perf_counter()

    def outcome(status: str, code: int, figures: Mapping[str, Any], message: str = "") -> JobOutcome:
        return JobOutcome(job.models, job.output, status, code, round(time.perf_counter() - start, 3), figures, message)

    try:
        key = key_of(job) if cache is not None else None
        known = cache.get(key) if cache is not None and key is not None else None
        there = job.output is not None and Path(job.output).exists() and not force
        if there and not (known is not None and known.model == Path(job.output or "").read_bytes()):
            raise OutputExistsError(f"{job.output} exists; --force overwrites it")
        work = known or (call or called)(job)
        if known is None and key is not None and key_of(job) != key:
            raise SamplesError("a file that it reads was changed meanwhile; run again when that is complete")
        if job.output is not None and work.model is not None and not there:
            Path(job.output).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(job.output, work.model, over=force)
        message = work.message
        if known is None and cache is not None and key is not None:
            try:
                cache.put(key, work)
            except OSError as e:
                message = f"not kept in the cache: {e.strerror or e}"
        return outcome("done" if known is None else "kept", work.exit_code, work.figures, message)
    except Exception as e:
        return outcome("failed", e.exit_code if isinstance(e, FullintError) else 2, {}, message_of(e))


def called(job: Job) -> CachedWork:
    """The call made, here."""
    options = {n: tuple(v) if isinstance(v, list) else v for n, v in job.options.items() if n not in OF_SUMMARIES}
    done = call_of(job.command)(*job.models, **options)
    report, model = getattr(done, "report", done), getattr(done, "model", None)
    code, figures = SUMMARIES[job.command](report, job.options)
    if model is not None:
        figures["bytes"] = len(model)
    warnings = getattr(getattr(report, "result", report), "warnings", ())
    return CachedWork(model, json.loads(to_json(report)), code, figures, warnings[0] if warnings else "")


def _of_result(report: Any, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Of a report of `quantize` or `repair`."""
    own = getattr(report, "result", report)
    sqnr = own.certificate.sqnr_db if own.certificate is not None else None
    return 0, {"float_operators": own.float_operators, "sqnr_db": sqnr}


def _of_audit(report: Any, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    levels = [f.level for f in report.findings]
    counts = {f"{level}s": levels.count(level) for level in ("error", "warning", "note")}
    failed = any(file.error for file in report.files)
    floats = sum(file.float_operators for file in report.files)
    fails = LEVELS[LEVELS.index(options.get("fail_on") or "warning") :]
    return 2 if failed else int(any(level in fails for level in levels)), {"float_operators": floats, **counts}


def _of_compare(report: Any, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    return int(bool(report.suspects)), {"suspects": len(report.suspects)}


def _of_sensitivity(report: Any, options: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    return 0, {"units": len(report.units), "sqnr_db": report.sqnr_db}


SUMMARIES: dict[str, Callable[[Any, Mapping[str, Any]], tuple[int, dict[str, Any]]]] = {
    "quantize": _of_result,
    "repair": _of_result,
    "audit": _of_audit,
    "compare": _of_compare,
    "sensitivity": _of_sensitivity,
}
"""Exit code and figures of each command's report."""
