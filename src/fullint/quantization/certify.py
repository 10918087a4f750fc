"""The certify stage: verify, run and compare the written bytes, then accept them with warnings or refuse them.

A result is compared with the given model. A repair that corrects faulty operators has a second figure, against the given
model with these corrected; it decides where the fixes change what the model computes on purpose, or the given one does not run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from fullint.calibration.samples import Held
from fullint.calibration.signatures import Entry
from fullint.errors import AccuracyError, RuntimeFailure
from fullint.model.ir import Array
from fullint.model.tflite import read_model, write_model
from fullint.quantization.float_tail import outputs_kept_apart, where_integers_end
from fullint.quantization.report import Result, report_result
from fullint.quantization.stage_values import Calibrated, Loaded, Written
from fullint.quantization.ways_out import tried_ways
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess
from fullint.verification.acceptance import verdict
from fullint.verification.certificate import certify as certify_entry
from fullint.verification.joined import join_certificates
from fullint.verification.kernel_outputs import as_read
from fullint.verification.layer_errors import worst_operators
from fullint.verification.output_parts import output_parts
from fullint.verification.report import Certificate

SHOWN = 8
"""Samples on which ways out are tried."""
COMPARED_TWICE = 64
"""Most samples where a result is compared with two models."""
CORRECTED = "the given model, with its faulty operators corrected"
BAR_OF_REPAIRS = "a repair has a higher bar, since the given model is quantized already: --min-sqnr DB sets another"


@dataclass(frozen=True, eq=False)
class _Compared:
    """What a result was compared with.

    Attributes:
        certificate: against the given model, or, where that does not run, against the corrected one.
        corrected: against the corrected one, if there is one.
        shown: the first samples of the main entry.
        warnings: about the given model.
    """

    certificate: Certificate
    corrected: Certificate | None
    shown: list[list[Array]]
    warnings: tuple[str, ...] = ()


def certify(bench: Workbench, written: Written) -> Result:
    """The result with its certificate.

    Raises:
        VerificationError: the file breaks a rule of the contract, or a kernel set does not run it correctly.
        AccuracyError: its SQNR against the reference is too low.
    """
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded
    compared = _twice(bench, written) if loaded.corrected else _once(bench, written, loaded.entries, calibrated.held)
    decides = compared.corrected if compared.corrected is not None and loaded.on_purpose else compared.certificate
    warnings = (*compared.warnings, *_judge(bench, written, decides, compared.shown))
    return Result(written.data, report_result(bench, written, compared.certificate, warnings, compared.corrected))


def _twice(bench: Workbench, written: Written) -> _Compared:
    """The result against the given model, if that runs, and against the corrected one."""
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded
    held = [replace(h, samples=[*itertools.islice(h.samples, COMPARED_TWICE)]) for h in calibrated.held]
    lifted = [
        replace(h, samples=[as_read(s, e.inputs, c.inputs) for s in h.samples])
        for h, e, c in zip(held, loaded.entries, loaded.corrected, strict=True)
    ]
    corrected = _once(bench, written, loaded.corrected, lifted, CORRECTED)
    refused = _refusal(loaded, held)
    if refused is not None:
        said = f"the given model does not run, so the result was compared with {CORRECTED}: {refused}"
        return _Compared(corrected.certificate, corrected.certificate, corrected.shown, (said,))
    given = _once(bench, written, loaded.entries, held)
    return _Compared(given.certificate, corrected.certificate, corrected.shown)


def _refusal(loaded: Loaded, held: Sequence[Held]) -> RuntimeFailure | None:
    """Why the given model does not run on LiteRT, or None."""
    with WorkerProcess("the given model") as worker:
        try:
            for entry, h in zip(loaded.entries, held, strict=True):
                for sample in itertools.islice(h.samples, 1):
                    worker.call(Open(entry.path, "xnnpack", 1, [a.shape for a in sample]))
                    worker.call(Run(list(sample)))
        except RuntimeFailure as e:
            return e
    return None


def _once(
    bench: Workbench, written: Written, entries: Sequence[Entry], held: Sequence[Held], reference: str | None = None
) -> _Compared:
    """The result against one model."""
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded
    found: list[Certificate] = []
    ends: list[Certificate] = []
    first: list[list[Array]] = []
    with bench.stage("certify"):
        bench.peak_memory()
        result = read_model(written.data)
        for entry, judges in zip(entries, held, strict=True):
            main = entry.number == 0
            own = result if main else entry.view(result)
            shown: list[list[Array]] = []
            one = certify_entry(
                entry.path,
                (entry.inputs, entry.outputs),
                own,
                written.data if main else write_model(own),
                _first(judges.samples, shown),
                bench.worker,
                bench.second_worker(),
                parts=output_parts(entry.view(written.emitted.model), bench.evaluate),
                more=calibrated.bias.samples if main else (),
                held_back=judges.held_back,
                drawn=judges.drawn,
                uncalibrated=loaded.options.synthetic,
                float_io="float32" in loaded.options.io_types,
                reference=reference or loaded.reference,
                kept=written.places,
                check=main,
            )
            found.append(outputs_kept_apart(one, entry.view(calibrated.model).main))
            ends += where_integers_end(bench, written, entry, shown, one)
            first = shown if main else first
    return _Compared(join_certificates([*found, *ends]), None, first)


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
            ways=lambda: tried_ways(bench, written, certificate, _few(calibrated, shown)),
        )
    except AccuracyError as e:
        if every and not calibrated.bounded:
            raise AccuracyError(f"{e}\n  {BAR_OF_REPAIRS}", e.lost) from e
        if not calibrated.bounded:
            raise
        raise AccuracyError(f"{e}\n  {_too_wide(calibrated)}\n  try: -c DATA", e.lost) from e
    return (*warnings, *_of_inputs_and_outputs(calibrated))


def _few(calibrated: Calibrated, shown: Sequence[list[Array]]) -> list[list[Array]]:
    """A few samples of the main entry, as the prepared model takes them: those that judged, and others where they are too few."""
    given = calibrated.prepared.loaded.entries[0].inputs
    samples = [*shown, *calibrated.bias.samples[: SHOWN - len(shown)]]
    return [as_read(s, given, calibrated.model.main.inputs) for s in samples]


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
