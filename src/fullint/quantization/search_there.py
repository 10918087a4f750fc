"""Trials of the best effort on a cluster: as many changes at once as the workers have threads, each of the run as it is.

    now: change 1   change 2   change 3   change 4        at once
         no         no         better     (forgotten)     change 4 is tried again, of the new run

So what is kept is what trials one after the other would have kept. Only errors come back; what is better is built again here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fullint.cluster.connection import Cluster
from fullint.errors import FullintError
from fullint.model.ir import Array
from fullint.quantization.forms import Form
from fullint.quantization.judges import Judges
from fullint.quantization.portable import portable
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated
from fullint.quantization.trial import built_in_form
from fullint.quantization.workbench import Workbench

TRY = "fullint.quantization.search_there:errors_of"


@dataclass(frozen=True, eq=False)
class TrialJob:
    """A form of a run to be tried.

    Attributes:
        before: what was calibrated, not yet equalized.
        judges: samples, and what the float model answers.
        form: to be tried.
        known: weights that are carried over.
    """

    before: Calibrated
    judges: Judges
    form: Form
    known: tuple[Refined, ...]


def errors_of(job: TrialJob) -> Array | None:
    """Squared errors of a run in a form; None where no model comes of it."""
    with Workbench(None) as bench:
        try:
            return job.judges.errors(bench.worker, built_in_form(bench, job.before, job.form, job.known))
        except FullintError:
            return None


def errors_there(
    cluster: Cluster, before: Calibrated, judges: Judges, forms: Sequence[tuple[Form, tuple[Refined, ...]]]
) -> list[Array | None]:
    """Errors of several forms of a run, each with the weights that are carried over into it."""
    whole = TrialJob(portable(before), judges, Form(), ())
    found = cluster.each(TRY, len(forms), lambda n: replace(whole, form=forms[n][0], known=forms[n][1]))
    known = dict(found)
    return [known[n] for n in range(len(forms))]
