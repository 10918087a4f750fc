"""Operators kept in float at a model's outputs whose function is not known: what they read is judged in their place.

i8 y --DEQUANTIZE--> f32 --TFLite_Detection_PostProcess--> boxes, scores          judged: y
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fullint.calibration.signatures import Entry, with_outputs
from fullint.model.ir import Array, Graph, Tensor, Uses
from fullint.model.tflite import write_model
from fullint.ops import ROWS, traits_of
from fullint.ops.base import CONVERSIONS, codes
from fullint.passes.as_trained import as_trained
from fullint.quantization.emit import Emitted
from fullint.quantization.stage_values import Written
from fullint.quantization.workbench import Workbench
from fullint.verification.certificate import certify as certify_entry
from fullint.verification.kernel_outputs import as_read
from fullint.verification.metrics import joined_quality
from fullint.verification.output_parts import output_parts
from fullint.verification.report import Certificate


def where_integers_end(
    bench: Workbench, written: Written, entry: Entry, shown: Sequence[Sequence[Array]], certificate: Certificate
) -> list[Certificate]:
    """What operators kept in float at the outputs of an entry read, compared with the float model in the place of those outputs.

    Args:
        bench: tools of the run.
        written: the result.
        entry: of the model that the result is compared with.
        shown: samples of the entry.
        certificate: of the entry.
    """
    model, emitted = entry.view(written.assigned.calibrated.model), entry.view(written.emitted.model)
    ends = _read_by_kept_ends(model.main, written.emitted)
    if not ends or not shown:
        return []
    inputs = model.main.inputs
    given = entry.inputs  # a repair may have made floats of them
    samples = [as_read(s, given, inputs) for s in shown]
    with bench.stage("certify"):
        reference = as_trained(with_outputs(model, ends), written.assigned.calibrated.prepared.pinned)
        result = with_outputs(emitted, [written.emitted.int8[t] for t in ends])
        one = certify_entry(
            bench.file(reference),
            (inputs, ends),
            result,
            write_model(result),
            samples,
            bench.worker,
            bench.second_worker(),
            parts=[replace(p, axes=()) for p in output_parts(result, bench.evaluate)],
            held_back=certificate.held_back,
            drawn=certificate.drawn,
            uncalibrated=certificate.uncalibrated,
            float_io=True,
            reference=certificate.reference,
            check=False,
        ).certificate
    outputs = tuple(replace(o, name=t.name) for o, t in zip(one.outputs, ends, strict=True))
    counted = tuple(replace(k, samples=0) for k in one.kernel_sets)  # the same samples again
    return [replace(one, outputs=outputs, samples=0, kernel_sets=counted)]


def _kept_outputs(graph: Graph) -> set[Tensor]:
    """Outputs of operators kept in float whose function is not known, such as a choice of boxes: a little noise changes all."""
    strange = [op for op in graph.ops if op.keep_float and op.kind not in ROWS and not traits_of(op.kind).element_wise]
    return {t for op in strange for t in op.outputs if t in graph.outputs}


def outputs_kept_apart(certificate: Certificate, graph: Graph) -> Certificate:
    """The certificate of an entry, in which outputs of operators that nobody can judge do not count."""
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
