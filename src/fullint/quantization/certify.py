"""The certify stage: verify, run and compare the written bytes, then accept them with warnings or refuse them."""

from __future__ import annotations

from fullint.errors import AccuracyError
from fullint.model.tflite import read_model, write_model
from fullint.quantization.report import Result, report_result
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.process import WorkerProcess
from fullint.verification.acceptance import verdict
from fullint.verification.certificate import certify as certify_entry
from fullint.verification.certificate import join_certificates
from fullint.verification.layer_errors import worst_operators
from fullint.verification.report import Certificate


def certify(bench: Workbench, written: Written) -> Result:
    """The result with its certificate.

    Raises:
        VerificationError: the file breaks a rule of the contract, or a kernel set does not run it correctly.
        AccuracyError: its SQNR against the reference is too low.
    """
    certificate = _certificate(bench, written, bench.second_worker())
    return Result(written.data, report_result(bench, written, certificate, _judge(written, certificate)))


def _certificate(bench: Workbench, written: Written, other: WorkerProcess) -> Certificate:
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded
    found = []
    with bench.stage("certify"):
        bench.peak_memory()
        result = read_model(written.data)
        for entry, held in zip(loaded.entries, calibrated.held, strict=True):
            main = entry.number == 0
            own = result if main else entry.view(result)
            found.append(
                certify_entry(
                    entry.path,
                    (entry.inputs, entry.outputs),
                    own,
                    written.data if main else write_model(own),
                    held.samples,
                    bench.worker,
                    other,
                    held_back=held.held_back,
                    drawn=held.drawn,
                    uncalibrated=loaded.options.synthetic,
                    float_io="float32" in loaded.options.io_types,
                    reference=loaded.reference,
                    kept=written.places,
                    check=main,
                )
            )
    return join_certificates(found)


def _judge(written: Written, certificate: Certificate) -> tuple[str, ...]:
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
        warnings += verdict(certificate, options.min_sqnr, options.per_tensor, worst, require_every_output=every)
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
