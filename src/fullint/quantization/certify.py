"""The certify stage: verify, run and compare the written bytes, then accept them with warnings or refuse them.

A result is compared with the given model. A repair that corrects faulty operators has a second figure, against the given
model with these corrected; it decides where the fixes change what the model computes on purpose, or the given one does not run.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fullint.calibration.collect import has_state
from fullint.calibration.samples import Held, keeping_first
from fullint.calibration.samples.findings import SampleFinding
from fullint.calibration.signatures import Entry
from fullint.errors import AccuracyError, RuntimeFailure
from fullint.model.ir import Array
from fullint.model.tflite import read_model, write_model
from fullint.quantization.causes import FoundCauses
from fullint.quantization.float_tail import outputs_kept_apart, where_integers_end
from fullint.quantization.on_target import on_its_kernels
from fullint.quantization.questions import Judged, accuracy, question
from fullint.quantization.range_effect import ranges_report
from fullint.quantization.readings import TRIED
from fullint.quantization.report import Result, report_result
from fullint.quantization.stage_values import Calibrated, Loaded, Written
from fullint.quantization.workbench import Workbench
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess
from fullint.verification.acceptance import verdict
from fullint.verification.answers import Answers
from fullint.verification.certificate import certify as certify_entry
from fullint.verification.joined import join_certificates
from fullint.verification.kernel_outputs import as_read
from fullint.verification.output_parts import output_parts
from fullint.verification.report import Certificate

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
        judged: the first samples of the main entry, and what was answered to them.
        warnings: about the given model.
    """

    certificate: Certificate
    corrected: Certificate | None
    judged: Judged
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
    with bench.trials("question"):
        findings = question(bench, written, compared.judged)
    with bench.trials("ranges") if calibrated.narrowed else contextlib.nullcontext():
        ranges = ranges_report(bench, written, compared.judged.samples)
    certificate = compared.certificate
    own = on_its_kernels(bench, written, compared.judged.samples)
    certificate = replace(certificate, kernel_sets=(*certificate.kernel_sets, *own))
    if calibrated.samples:
        certificate = replace(certificate, accuracy=accuracy(compared.judged, calibrated.samples[0], certificate.samples))
    decides = compared.corrected if compared.corrected is not None and loaded.on_purpose else certificate
    warnings = (*compared.warnings, *_judge(bench, written, decides, compared.judged, findings))
    return Result(written.data, report_result(bench, written, certificate, warnings, compared.corrected, findings, ranges))


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
        return _Compared(corrected.certificate, corrected.certificate, corrected.judged, (said,))
    given = _once(bench, written, loaded.entries, held)
    return _Compared(given.certificate, corrected.certificate, corrected.judged)


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
    judged = Judged((), (), ())
    with bench.stage("certify"):
        bench.peak_memory()
        result = read_model(written.data)
        for entry, judges in zip(entries, held, strict=True):
            main = entry.number == 0
            own = result if main else entry.view(result)
            shown: list[list[Array]] = []
            also = () if has_state(calibrated.model) else judges.also
            compared = certify_entry(
                entry.path,
                (entry.inputs, entry.outputs),
                own,
                written.data if main else write_model(own),
                keeping_first(judges.samples, TRIED, shown),
                bench.worker,
                bench.second_worker(),
                parts=output_parts(entry.view(written.emitted.model), bench.evaluate),
                also=[sample for _, sample in also],
                held_back=judges.held_back,
                drawn=judges.drawn,
                uncalibrated=loaded.options.synthetic,
                float_io="float32" in loaded.options.io_types,
                reference=reference or loaded.reference,
                kept=written.places,
                check=main,
                slow=loaded.options.certify == "full",
                known=bench.exact_outputs(entry.path),
            )
            one = compared.certificate
            found.append(outputs_kept_apart(one, entry.view(calibrated.model).main))
            ends += where_integers_end(bench, written, entry, shown, one)
            if main:
                judged = _judged(judges, shown, also, compared.answers)
    return _Compared(join_certificates([*found, *ends]), None, judged)


def _judged(
    held: Held, shown: Sequence[list[Array]], also: Sequence[tuple[int, list[Array]]], answers: Sequence[Answers]
) -> Judged:
    """The samples that judged, those held back first, and what was answered."""
    count = max((a.count for a in answers), default=0)
    runs = held.runs or tuple(range(count))
    runs = (*runs, *(held.calibrated_runs[number] for number, _ in also))
    samples = [*shown, *(sample for _, sample in also)] if len(shown) < TRIED else shown
    return Judged(samples[:count], runs[:count], answers)


def _judge(
    bench: Workbench, written: Written, certificate: Certificate, judged: Judged, findings: Sequence[SampleFinding]
) -> tuple[str, ...]:
    """Warnings about the result; raises AccuracyError if its SQNR is too low."""
    calibrated = written.assigned.calibrated
    loaded = calibrated.prepared.loaded
    warnings = []
    if calibrated.loose and loaded.request.samples is None:
        count = len(calibrated.loose)
        warnings.append(f"{count} ranges are bounds on sums, judged on random inputs: real data may lose more; use -c DATA")
    options, every = loaded.options, loaded.request.require_every_output
    causes = FoundCauses(bench, written, certificate, judged.samples)
    try:
        bar = -math.inf if calibrated.uncertified else options.min_sqnr
        warnings += verdict(certificate, bar, causes, require_every_output=every, accepted=options.accepted)
    except AccuracyError as e:
        said = [str(e), *(f"  about the samples: {f.text}" for f in findings)]
        if every and not calibrated.bounded:
            said.append(f"  {BAR_OF_REPAIRS}")
        if calibrated.bounded:
            said += [f"  {_too_wide(calibrated)}", "  try: -c DATA"]
        raise AccuracyError("\n".join(said), e.lost) from e
    return (*warnings, *_of_io(calibrated))


def _too_wide(calibrated: Calibrated) -> str:
    names = ", ".join(f'"{t.name}" ({why})' for t, why in list(calibrated.loose.items())[:4])
    return f"without samples, these ranges are only bounds, and too wide: {names or 'values between float operators'}"


def _of_io(calibrated: Calibrated) -> list[str]:
    model, options = calibrated.model, calibrated.prepared.loaded.options
    if options.io != "auto" and not any(t.is_float for t in (*model.main.inputs, *model.main.outputs)):
        return [f"io {options.io} has no effect: the model has no float input or output"]
    return []
