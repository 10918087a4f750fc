"""`benchmark`: the options checked, the models measured in turns, the report put together."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from fullint.deployment.benchmark.report import BenchmarkReport, ModelTiming
from fullint.deployment.benchmark.session import TURNS, TimedModel, compared
from fullint.deployment.benchmark.settings import Settings
from fullint.deployment.benchmark.simulate import device_commands
from fullint.deployment.delegates import nnapi
from fullint.deployment.logs.record import SIMULATED
from fullint.errors import DelegationError, UsageError
from fullint.ops import KERNEL_SETS
from fullint.reporting import SCHEMA_VERSION
from fullint.version import __version__

PROFILER_OFF = "latency is measured with the profiler off, the profile in runs of its own, whose rows are shares of a run"
NESTED = "rows of initialization lie in one another: they must not be added up"
MOST_THREADS, MOST_DELAY = 1024, 3600
MOST_INFLATED = 1.25
"""The profile over the latency from which on a note says so."""
NO_PROFILER = "an external delegate runs in the interpreter, which has no profiler: latency only"


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
) -> BenchmarkReport:
    """Measure models on LiteRT, per operator, and several of them against each other.

    Args:
        models: paths or bytes of `.tflite` files; of several, each is compared with the first.
        kernels: "xnnpack" (the default of the runtime), "builtin" or "reference".
        num_threads: threads of one inference.
        num_runs: at least this many runs of each.
        min_secs: at least this many seconds of runs.
        max_secs: at most this many.
        warmup_runs: at least this many runs before.
        warmup_min_secs: at least this many seconds before.
        run_delay: seconds of rest before each run; none if negative.
        inputs: "random", "zeros", or samples as in `quantize`, of which the first is run.
        enable_op_profiling: whether to profile, too.
        simulate: target of `partition` ("nnapi:30", "edgetpu", …): run the pieces it would cut on this machine.
        nnapi_accelerator_name: the accelerator that is played, with simulate="nnapi".
        external_delegate_path: library of an external delegate.
        external_delegate_options: its options, as a dict or "key:value;key:value".
        require_full_delegation: refuse a model of which the delegate leaves an operator.

    Raises:
        DelegationError: it leaves one.
        UsageError, ModelFormatError, SamplesError: bad options, files or inputs.
        RuntimeFailure: the runtime refuses a model or crashes on it, or has no profiler fullint knows.
    """
    how = Settings(
        kernels, num_threads, num_runs, min_secs, max_secs, warmup_runs, warmup_min_secs, run_delay, inputs,
        enable_op_profiling, simulate, nnapi_accelerator_name, external_delegate_path, _pairs(external_delegate_options),
    )  # fmt: skip
    _check(models, how)
    with contextlib.ExitStack() as stack:
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
        notes += [f"{r.name}: measured in the interpreter, without a profile: {r.plain}" for r in runs if r.plain]
    comparisons = tuple(compared(runs[0], other, timings[0], t) for other, t in zip(runs[1:], timings[1:], strict=True))
    notes += [n for t in timings for n in _cautions(t)]
    if enable_op_profiling:
        notes += [NO_PROFILER] if external_delegate_path else [PROFILER_OFF, NESTED]
    options = vars(how) | {"inputs": inputs if isinstance(inputs, str) else "given"}
    options |= {"use_nnapi": True, "accelerators": list(nnapi.ACCELERATORS)} if how.plays_nnapi else {}
    commands = device_commands(runs[0].name, nnapi_accelerator_name) if how.plays_nnapi else ()
    return BenchmarkReport(SCHEMA_VERSION, __version__, options, timings, comparisons, tuple(notes), commands)


def _cautions(t: ModelTiming) -> list[str]:
    """What a profile cannot tell."""
    found = []
    if t.profile_us > MOST_INFLATED * t.mean_us:
        found.append(f"{t.model}: the profiler itself takes most of the time it shows; only the latency is to be trusted")
    small = sum(o.us < 1 for o in t.operators)
    if small:
        found.append(f"{t.model}: the profiler counts whole microseconds; {small} rows are below one, and may show as 0")
    return [f"{SIMULATED}: {n}" for n in found] if t.simulated else found


def _all_taken(r: TimedModel) -> None:
    if r.piece is None:
        raise UsageError("how much a delegate takes is known of XNNPACK and of those that are played only")
    if r.piece.refused:
        x = r.piece.refused[0]
        raise DelegationError(
            f"{r.name}: {r.piece.target} takes {r.piece.taken} of {r.piece.operators} operators; "
            f'it leaves op {x.index} {x.kind} "{x.output}": {x.reason}'
        )


def _check(models: tuple[str | Path | bytes, ...], how: Settings) -> None:
    if not models:
        raise UsageError("no model to measure")
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
        raise UsageError("an NNAPI accelerator is named, but NNAPI is not asked for")
    if how.simulate is not None and how.external_delegate_path is not None:
        raise UsageError("a delegate is either loaded or played, not both")
    if how.external_delegate_path is not None and not Path(how.external_delegate_path).is_file():
        raise UsageError(f"{how.external_delegate_path}: no such library")


def _pairs(options: str | dict[str, str] | None) -> dict[str, str]:
    """The pairs of key:value;key:value as a dict."""
    if not options:
        return {}
    if isinstance(options, dict):
        return options
    pairs = [part.partition(":") for part in options.split(";") if part]
    if not all(key and colon for key, colon, _ in pairs):
        raise UsageError(f'external_delegate_options look like "key:value;key:value", not "{options}"')
    return {key: value for key, _, value in pairs}
