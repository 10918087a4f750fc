"""The certify stage: verify, run and compare the written bytes, then accept them with warnings or refuse them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fullint.calibration.signatures import with_outputs
from fullint.errors import AccuracyError
from fullint.model.ir import Array, Graph, Tensor, Uses
from fullint.model.tflite import read_model, write_model
from fullint.ops.base import CONVERSIONS, codes
from fullint.quantization.emit import Emitted
from fullint.quantization.report import Result, report_result
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.ways_out import tried_ways
from fullint.quantization.workbench import Workbench
from fullint.runtime.process import WorkerProcess
from fullint.verification.acceptance import verdict
from fullint.verification.certificate import certify as certify_entry
from fullint.verification.joined import join_certificates
from fullint.verification.kernel_outputs import real
from fullint.verification.layer_errors import worst_operators
from fullint.verification.metrics import joined_quality
from fullint.verification.output_parts import output_parts
from fullint.verification.report import Certificate

SHOWN = 8
"""Samples on which ways out are tried."""


def certify(bench: Workbench, written: Written) -> Result:
    """The result with its certificate.

    Raises:
        VerificationError: the file breaks a rule of the contract, or a kernel set does not run it correctly.
        AccuracyError: its SQNR against the reference is too low.
    """
    shown: list[list[Array]] = []
    certificate = _certificate(bench, written, bench.second_worker(), shown)
    return Result(written.data, report_result(bench, written, certificate, _judge(bench, written, certificate, shown)))


def _certificate(bench: Workbench, written: Written, other: WorkerProcess, shown: list[list[Array]]) -> Certificate:
    """The certificate of all entries; `shown` gets the first samples of the main one."""
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded
    found = []
    with bench.stage("certify"):
        bench.peak_memory()
        result = read_model(written.data)
        for entry, held in zip(loaded.entries, calibrated.held, strict=True):
            main = entry.number == 0
            own = result if main else entry.view(result)
            one = certify_entry(
                entry.path,
                (entry.inputs, entry.outputs),
                own,
                written.data if main else write_model(own),
                _first(held.samples, shown) if main else held.samples,
                bench.worker,
                other,
                parts=output_parts(entry.view(written.emitted.model), bench.evaluate),
                held_back=held.held_back,
                drawn=held.drawn,
                uncalibrated=loaded.options.synthetic,
                float_io="float32" in loaded.options.io_types,
                reference=loaded.reference,
                kept=written.places,
                check=main,
            )
            found.append(_without_kept(one, entry.view(calibrated.model).main))
    ending = _where_integers_end(bench, written, other, shown, found[0])
    return join_certificates([*found, *ending])


def _where_integers_end(
    bench: Workbench, written: Written, other: WorkerProcess, shown: list[list[Array]], main: Certificate
) -> list[Certificate]:
    """What operators kept in float at the outputs read, compared with the float model in the place of those outputs."""
    calibrated = written.assigned.calibrated
    ends = _read_by_kept_ends(calibrated.model.main, written.emitted)
    if not ends or not shown:
        return []
    inputs = calibrated.model.main.inputs
    given = calibrated.prepared.loaded.entries[0].inputs  # a repair may have made floats of them
    samples = [[real(a, g) if g.dtype != t.dtype else a for a, g, t in zip(s, given, inputs, strict=True)] for s in shown]
    with bench.stage("certify"):
        reference = with_outputs(calibrated.model, list(ends))
        result = with_outputs(written.emitted.model, [written.emitted.int8[t] for t in ends])
        one = certify_entry(
            bench.file(reference),
            (inputs, ends),
            result,
            write_model(result),
            samples,
            bench.worker,
            other,
            parts=[replace(p, slices=0) for p in output_parts(result, bench.evaluate)],
            held_back=main.held_back,
            drawn=main.drawn,
            uncalibrated=main.uncalibrated,
            float_io=True,
            reference=main.reference,
            check=False,
        )
    outputs = tuple(replace(o, name=t.name) for o, t in zip(one.outputs, ends, strict=True))
    counted = tuple(replace(k, samples=0) for k in one.kernel_sets)  # the same samples again
    return [replace(one, outputs=outputs, samples=0, kernel_sets=counted)]


def _kept_outputs(graph: Graph) -> set[Tensor]:
    """Outputs that operators kept in float make."""
    return {t for op in graph.ops if op.keep_float for t in op.outputs if t in graph.outputs}


def _without_kept(certificate: Certificate, graph: Graph) -> Certificate:
    """The certificate of an entry, in which outputs of operators kept in float do not count."""
    kept = _kept_outputs(graph)
    outputs = [replace(o, judged=t not in kept) for o, t in zip(certificate.outputs, graph.outputs, strict=True)]
    sqnr = joined_quality(o.sqnr_db for o in outputs if o.judged)
    return replace(certificate, outputs=tuple(outputs), sqnr_db=sqnr) if kept else certificate


def _read_by_kept_ends(graph: Graph, emitted: Emitted) -> list[Tensor]:
    """The values in integers that operators kept in float make outputs of."""
    uses = Uses(graph)
    waiting, found, seen = [*_kept_outputs(graph)], dict[Tensor, None](), set[Tensor]()
    while waiting:
        op = uses.producer[waiting.pop()]
        for t in op.inputs:
            made = uses.producer.get(t) if t is not None else None
            if made is not None and codes(t) and made.kind in CONVERSIONS:  # left as it was, it reads codes
                t = made.inputs[0]
                made = uses.producer.get(t) if t is not None else None
            if t is None or t in seen or t.dtype != "float32":
                continue
            seen.add(t)
            if made is not None and made.keep_float:
                waiting.append(t)
            elif made is not None and t in emitted.int8:
                found[t] = None
    return [*found]


def _first(samples: Iterable[list[Array]], shown: list[list[Array]]) -> Iterator[list[Array]]:
    """The samples; the first are kept in `shown`."""
    for sample in samples:
        if len(shown) < SHOWN:
            shown.append(sample)
        yield sample


def _judge(bench: Workbench, written: Written, certificate: Certificate, shown: list[list[Array]]) -> tuple[str, ...]:
    """Warnings about the result; raises AccuracyError if its SQNR is too low."""
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded

    def worst() -> list[str]:
        emitted, sample = written.emitted, calibrated.held[0].last
        return worst_operators(calibrated.model, emitted.model, emitted.int8, sample)

    warnings = []
    if calibrated.loose and loaded.request.samples is None:
        count = len(calibrated.loose)
        warnings.append(f"{count} ranges are bounds on sums, judged on random inputs: real data may lose more; use -c DATA")
    options, every = loaded.options, loaded.request.require_every_output
    try:
        warnings += verdict(
            certificate,
            options.min_sqnr,
            options.per_tensor,
            worst,
            require_every_output=every,
            accepted=options.accepted,
            ways=lambda: tried_ways(bench, written, certificate, shown),
        )
    except AccuracyError as e:
        if not calibrated.bounded:
            raise
        raise AccuracyError(f"{e}\n  {_too_wide(calibrated)}\n  try: -c DATA") from e
    return (*warnings, *_of_inputs_and_outputs(calibrated))


def _too_wide(calibrated: Calibrated) -> str:
    names = ", ".join(f'"{t.name}" ({why})' for t, why in list(calibrated.loose.items())[:4])
    return f"without samples, these ranges are only bounds, and too wide: {names or 'values between float operators'}"


def _of_inputs_and_outputs(calibrated: Calibrated) -> list[str]:
    model, options = calibrated.model, calibrated.prepared.loaded.options
    warnings = []
    if options.io != "auto" and not any(t.is_float for t in (*model.main.inputs, *model.main.outputs)):
        warnings.append(f"io {options.io} has no effect: the model has no float input or output")
    for t in model.main.inputs:
        span = calibrated.ranges.get(t)
        if span is not None and span.low == span.high:
            warnings.append(
                f'input "{t.name}" is {span.low:g} in every sample: its range cannot be calibrated; give varied samples'
            )
    return warnings
