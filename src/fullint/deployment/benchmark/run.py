"""`benchmark`: check the options, measure the models in turns, and build the report."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from fullint.delegates import nnapi
from fullint.deployment.benchmark.report import BenchmarkReport, ModelTiming
from fullint.deployment.benchmark.session import TURNS, TimedModel, compared
from fullint.deployment.benchmark.settings import Settings
from fullint.deployment.benchmark.simulate import device_commands
from fullint.deployment.logs.record import SIMULATED
from fullint.errors import DelegationError, UsageError
from fullint.limits import limited
from fullint.ops import KERNEL_SETS
from fullint.reporting import SCHEMA_VERSION
from fullint.runtime.damaged_models import diagnosing
from fullint.version import __version__

PROFILER_OFF = "latency is measured with the profiler off, the profile in separate runs; read its rows as shares of a run"
NESTED = "rows of the initialization are nested in one another: do not add them up"
MOST_THREADS, MOST_DELAY = 1024, 3600
MOST_INFLATED = 1.25
"""If the profile's total exceeds the latency by this factor, a note says so."""
NO_PROFILER = "an external delegate runs in the interpreter, which has no profiler: only latency is reported"


@diagnosing
def benchmark(
    *models: str | Path | bytes,
    kernels: str = "xnnpack",
    num_threads: int = 1,
    num_runs: int = 50,
    min_secs: float = 1.0,
    max_secs: float = 150.0,
    warmup_runs: int = 1,
    warmup_min_secs: float = 0.5,
    run_delay: float = -1.0,
    inputs: Any = "random",
    enable_op_profiling: bool = True,
    simulate: str | None = None,
    nnapi_accelerator_name: str | None = None,
    external_delegate_path: str | None = None,
    external_delegate_options: str | dict[str, str] | None = None,
    require_full_delegation: bool = False,
    worker_memory: float | None = None,
    worker_seconds: float | None = None,
) -> BenchmarkReport:
    """Measure the latency of models on LiteRT, in total and per operator, and compare them.

    Args:
        models: paths or bytes of `.tflite` files; each is compared with the first.
        kernels: "xnnpack" (the runtime's default), "builtin" or "reference".
        num_threads: number of threads of one inference.
        num_runs: minimum number of runs per model.
        min_secs: minimum total time of the runs per model, in seconds.
        max_secs: maximum total time of the runs per model, in seconds; a single run that takes 10 s longer is stopped.
        warmup_runs: minimum number of warm-up runs.
        warmup_min_secs: minimum time of the warm-up, in seconds.
        run_delay: seconds to wait before each run; none if negative.
        inputs: "random", "zeros", or samples as in `quantize`, of which the first is used.
        enable_op_profiling: whether to profile operators as well.
        simulate: target of `partition` ("nnapi:30", "edgetpu", …) whose partitions to run on this machine.
        nnapi_accelerator_name: the accelerator to simulate, with simulate="nnapi".
        external_delegate_path: library of an external delegate.
        external_delegate_options: its options, as a dict or "key:value;key:value".
        require_full_delegation: raise an error if the delegate does not accept every operator.
        worker_memory, worker_seconds: limits of each process that runs a model, in GB and seconds of one run; as in
            `quantize`.

    Raises:
        DelegationError: the delegate does not accept every operator, and `require_full_delegation` is set.
        UsageError, ModelFormatError, SamplesError: an option, a file or the inputs are invalid.
        RuntimeFailure: the runtime rejects a model or crashes on it, or has no profiler that fullint supports.
    """
    how = Settings(
        kernels, num_threads, num_runs, min_secs, max_secs, warmup_runs, warmup_min_secs, run_delay, inputs,
        enable_op_profiling, simulate, nnapi_accelerator_name, external_delegate_path, _pairs(external_delegate_options),
    )  # fmt: skip
    _check(models, how)
    with limited(worker_memory, worker_seconds), contextlib.ExitStack() as stack:
        runs = [TimedModel(stack, m, how) for m in models]
        for r in runs:
            if require_full_delegation:
                _all_taken(r)
            r.warm_up()
        for _ in range(TURNS):
            if any(r.done for r in runs):
                break
            for r in runs:
                r.turn()
        timings = tuple(r.timing() for r in runs)
        notes = [n for r in runs if r.played is not None for n in r.played.notes()]
        notes += [f"{r.name}: measured in the interpreter, without a profile, because {r.plain}" for r in runs if r.plain]
    comparisons = tuple(compared(runs[0], other, timings[0], t) for other, t in zip(runs[1:], timings[1:], strict=True))
    notes += [n for t in timings for n in _cautions(t)]
    if enable_op_profiling:
        notes += [NO_PROFILER] if external_delegate_path else [PROFILER_OFF, NESTED]
    options = vars(how) | {"inputs": inputs if isinstance(inputs, str) else "given"}
    options |= {"use_nnapi": True, "accelerators": list(nnapi.ACCELERATORS)} if how.plays_nnapi else {}
    commands = device_commands(runs[0].name, nnapi_accelerator_name) if how.plays_nnapi else ()
    return BenchmarkReport(SCHEMA_VERSION, __version__, options, timings, comparisons, tuple(notes), commands)


def _cautions(t: ModelTiming) -> list[str]:
    """Notes on the limits of a profile."""
    found = []
    if t.profile_us > MOST_INFLATED * t.mean_us:
        found.append(f"{t.model}: the profiler's own overhead dominates the profile; rely on the latency only")
    small = sum(o.us < 1 for o in t.operators)
    if small:
        found.append(f"{t.model}: the profiler counts whole microseconds; {small} rows are below one and may show as 0")
    return [f"{SIMULATED}: {n}" for n in found] if t.simulated else found


def _all_taken(r: TimedModel) -> None:
    if r.piece is None:
        raise UsageError("require_full_delegation works with XNNPACK and with simulated delegates only")
    if r.piece.refused:
        x = r.piece.refused[0]
        raise DelegationError(
            f"{r.name}: {r.piece.target} accepts {r.piece.taken} of {r.piece.operators} operators; "
            f'it does not accept op {x.index} {x.kind} "{x.output}": {x.reason}'
        )


def _check(models: tuple[str | Path | bytes, ...], how: Settings) -> None:
    if not models:
        raise UsageError("no model to measure: give at least one .tflite file")
    if how.kernels not in KERNEL_SETS:
        raise UsageError(f'kernels must be one of {", ".join(KERNEL_SETS)}, not "{how.kernels}"')
    for name, value in (("num_threads", how.num_threads), ("num_runs", how.num_runs)):
        if value < 1:
            raise UsageError(f"{name} must be at least 1, not {value}")
    for name, seconds in (("min_secs", how.min_secs), ("warmup_min_secs", how.warmup_min_secs), ("warmup_runs", how.warmup_runs)):
        if not seconds >= 0:
            raise UsageError(f"{name} must not be negative")
    if how.num_threads > MOST_THREADS:
        raise UsageError(f"num_threads must be at most {MOST_THREADS}, not {how.num_threads}")
    if not how.run_delay < MOST_DELAY:
        raise UsageError(f"run_delay must be below {MOST_DELAY} seconds, not {how.run_delay}")
    if not how.max_secs > 0:
        raise UsageError("max_secs must be above 0")
    if how.nnapi_accelerator_name is not None and not how.plays_nnapi:
        raise UsageError('nnapi_accelerator_name needs NNAPI: set simulate to "nnapi", or leave the name out')
    if how.simulate is not None and how.external_delegate_path is not None:
        raise UsageError("simulate and external_delegate_path exclude each other: give one of them")
    if how.external_delegate_path is not None and not Path(how.external_delegate_path).is_file():
        raise UsageError(f"{how.external_delegate_path}: no such library")


def _pairs(options: str | dict[str, str] | None) -> dict[str, str]:
    """Parse "key:value;key:value" to a dict."""
    if not options:
        return {}
    if isinstance(options, dict):
        return options
    pairs = [part.partition(":") for part in options.split(";") if part]
    if not all(key and colon for key, colon, _ in pairs):
        raise UsageError(f'external_delegate_options must have the form "key:value;key:value", not "{options}"')
    return {key: value for key, _, value in pairs}
