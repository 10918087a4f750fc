"""One run in another form: what was calibrated, carried out otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fullint.quantization.build import build
from fullint.quantization.decide import decide
from fullint.quantization.forms import Form
from fullint.quantization.measure import equalize, with_narrowed
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated, Written
from fullint.quantization.workbench import Workbench


def built_in_form(bench: Workbench, before: Calibrated, form: Form, known: Sequence[Refined]) -> Written:
    """The result in a form.

    Args:
        bench: tools of the run.
        before: what was calibrated, not yet equalized.
        form: how it is carried out.
        known: weights that are carried over.
    """
    return build(bench, decide(bench, equalize(bench, of_form(before, form))), tuple(known))


def of_form(before: Calibrated, form: Form) -> Calibrated:
    """What was calibrated, to be carried out in a form.

    Args:
        before: not yet equalized.
        form: how.
    """
    narrowed = {**before.narrowed, **{t: n for t, n in before.could_be.items() if t in form.narrow}}
    ranges = {**before.ranges, **{t: n.span for t, n in narrowed.items()}}
    found = replace(before, form=form, narrowed={}, plain=None, measured=replace(before.measured, ranges=ranges))
    return with_narrowed(found, narrowed)
