"""benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fullint.cli import options as option
from fullint.cli.shell import check_output, errors, present
from fullint.errors import UsageError
from fullint.files import unreadable, write_atomically

if TYPE_CHECKING:
    from fullint.deployment.benchmark import BenchmarkReport


def _flag(name: str, text: str, **details: Any) -> Callable[[Any], Any]:
    """An option in the spelling of benchmark_model (--num_runs) and in that of the other commands (--num-runs)."""
    both = list(dict.fromkeys([f"--{name.replace('_', '-')}", f"--{name}"]))
    return click.option(*both, name, help=text, **details)


_loops = option.stacked(
    _flag("kernels", "Kernel set.", type=click.Choice(["xnnpack", "builtin", "reference"]), default="xnnpack", show_default=True),
    _flag("num_threads", "Threads of one inference.", type=int, default=1, show_default=True),
    _flag("num_runs", "At least this many runs.", type=int, default=50, show_default=True),
    _flag("min_secs", "At least this many seconds of runs.", type=float, default=1.0, show_default=True),
    _flag("max_secs", "At most this many seconds of runs.", type=float, default=150.0, show_default=True),
    _flag("warmup_runs", "At least this many warm-up runs.", type=int, default=1, show_default=True),
    _flag("warmup_min_secs", "At least this many seconds of warm-up.", type=float, default=0.5, show_default=True),
    _flag("run_delay", "Seconds to wait before each run.", type=float, default=-1.0, show_default=True),
    _flag("inputs", "random, zeros, or DATA as in quantize; its first sample is run.", default="random", show_default=True),
    _flag(
        "enable_op_profiling",
        "Measure a profile per operator as well.",
        type=bool,
        default=True,
        show_default=True,
        metavar="true|false",
    ),
)
_delegates = option.stacked(
    _flag(
        "simulate",
        "Simulate a delegate on this machine: run its partitions one by one; a target of `partition`.",
        metavar="TARGET",
    ),
    _flag("nnapi_accelerator_name", "Name of the simulated accelerator, with NNAPI."),
    _flag("external_delegate_path", "Library of a delegate (GPU, Edge TPU, Arm NN, …).", type=click.Path()),
    _flag("external_delegate_options", "Options for that library.", metavar="KEY:VALUE;..."),
    _flag(
        "require_full_delegation",
        "Exit 1 where the delegate leaves an operator.",
        type=bool,
        default=False,
        show_default=True,
        metavar="true|false",
    ),
)
_spelled = option.stacked(
    _flag("graph", "The same as MODEL; prints the log of benchmark_model.", type=click.Path(), multiple=True),
    _flag("use_xnnpack", "false is the same as --kernels builtin.", type=bool, metavar="true|false"),
    _flag(
        "use_nnapi", "true is the same as --simulate nnapi; NNAPI itself exists on Android only.", type=bool, metavar="true|false"
    ),
    _flag("input_layer_value_files", "Raw values of inputs, little-endian.", metavar="NAME:FILE,..."),
    _flag(
        "report_peak_memory_footprint",
        "Accepted for compatibility: the peak is always reported.",
        type=bool,
        metavar="true|false",
    ),
    _flag("verbose", "Accepted for compatibility: a log always lists all parameters.", type=bool, metavar="true|false"),
    _flag("profiling_output_csv_file", "Write the profile to this file as CSV.", type=click.Path(dir_okay=False)),
    _flag("op_profiling_output_mode", "How a log shows the profile.", type=click.Choice(["stdout", "csv"]), default="stdout"),
    _flag(
        "op_profiling_output_file", "Write the profile to this file instead of standard output.", type=click.Path(dir_okay=False)
    ),
)


@click.command()
@click.argument("models", nargs=-1, type=click.Path(), metavar="MODEL...")
@_loops
@_delegates
@_spelled
@option.of_workers
@click.option("--log", is_flag=True, help="Print the log that benchmark_model prints.")
@click.option("--csv", is_flag=True, help="Print the profiles as CSV.")
@option.output_forms("Print everything as JSON.")
@option.force
def benchmark(
    models: tuple[str, ...],
    graph: tuple[str, ...],
    use_xnnpack: bool | None,
    use_nnapi: bool | None,
    input_layer_value_files: str | None,
    report_peak_memory_footprint: bool | None,
    verbose: bool | None,
    profiling_output_csv_file: str | None,
    op_profiling_output_mode: str,
    op_profiling_output_file: str | None,
    log: bool,
    csv: bool,
    as_json: bool,
    force: bool,
    **how: Any,
) -> None:
    """Measure each MODEL on LiteRT, per operator; of several, whether the others are faster than the first, and where.

    The flags of benchmark_model are taken as it spells them (--graph=m.tflite --num_runs=50 --enable_op_profiling=true).

    \b
    Example:
      fullint benchmark model.tflite half.tflite
    """
    with errors(as_json):
        from fullint.deployment.benchmark import benchmark as run

        files = [f for f in (profiling_output_csv_file, op_profiling_output_file) if f is not None]
        if len(files) != len(set(files)):
            raise UsageError(f"{files[0]}: given for two outputs; name two files")
        for file in files:
            check_output(file, force)
        _spell(how, use_xnnpack, use_nnapi)
        models = (*graph, *models)
        if input_layer_value_files is not None:
            how["inputs"] = [_values(input_layer_value_files, models)]
        report = run(*models, **how)
        in_csv = csv or op_profiling_output_mode == "csv"
        for file in files:
            as_csv = file == profiling_output_csv_file or in_csv
            write_atomically(file, (report.to_csv() if as_csv else _logs(report, profile=True)).encode(), over=force)
        text = None
        if log or graph:
            own = op_profiling_output_file is None
            lines = [_logs(report, profile=own and not in_csv), *([report.to_csv()] if own and in_csv else [])]
            text = "\n".join([*lines, *(f"on the device: {line}" for line in report.device_commands)])
        elif csv:
            text = report.to_csv()
        present(report, as_json, models, text=text)


def _spell(how: dict[str, Any], use_xnnpack: bool | None, use_nnapi: bool | None) -> None:
    """What two flags of benchmark_model mean here."""
    if use_xnnpack is False:
        if how["kernels"] == "reference":
            raise UsageError("--use_xnnpack=false means --kernels builtin, but --kernels reference was given; drop one of them")
        how["kernels"] = "builtin"
    if use_nnapi:
        if how["simulate"] is not None and not how["simulate"].startswith("nnapi"):
            raise UsageError(
                f"--use_nnapi=true means --simulate nnapi, but --simulate {how['simulate']} was given; drop one of them"
            )
        how["simulate"] = how["simulate"] or "nnapi"


def _values(text: str, models: tuple[str, ...]) -> dict[str, Any]:
    """NAME:FILE,... as arrays by name, in the types and shapes of the first model's inputs."""
    import numpy as np

    from fullint.calibration.samples import slots
    from fullint.model.tflite import read_model

    if not models:
        raise UsageError("no model to measure: give the path of at least one")
    known = {slot.name: slot for slot in slots(read_model(models[0]))}
    found = {}
    for part in text.split(","):
        name, _, file = part.rpartition(":")
        if name not in known:
            raise UsageError(f'the model has no input "{name}"; it has {", ".join(known)}')
        slot = known[name]
        if (why := unreadable(file)) is not None:
            raise UsageError(why)
        try:
            values = np.fromfile(file, slot.dtype)
        except OSError as e:
            raise UsageError(f"{file}: cannot be read: {e.strerror}") from e
        shape = tuple(max(n, 1) for n in slot.shape)
        if values.size != np.prod(shape):
            raise UsageError(
                f'{file}: holds {values.size} values of {slot.dtype}; input "{name}" takes {np.prod(shape)}, as {list(shape)}'
            )
        found[name] = values.reshape(shape)
    return found


def _logs(report: BenchmarkReport, *, profile: bool) -> str:
    return "\n".join(report.to_log(i, profile=profile) for i in range(len(report.timings)))
