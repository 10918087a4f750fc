"""The best effort: other forms of the run are tried, one change after the other, and what was seen to help is kept.

    Written --a change--> equalize --> decide --> build --> answers to samples
       ^__________ better by more than chance? _______________|

    d_i = 10 log10(squared error of the new one / squared error of the old one), of sample i, mean over the outputs
    better:   mean d < -WORTH_DB,  mean d < -sd(d) / sqrt(n),  and the sum of all squared errors is not larger

Half of the samples choose; what they have chosen has to be better on the other half, too. A change that only fits the
samples it was chosen on is thus left out, and with few samples nothing is tried.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fullint.errors import FullintError
from fullint.model.ir import Array, Tensor
from fullint.quantization.forms import Form
from fullint.quantization.judges import WORTH_DB, Judges, judges_of
from fullint.quantization.refine import Refined
from fullint.quantization.stage_values import Calibrated, TriedForm, Written
from fullint.quantization.trial import built_in_form
from fullint.quantization.workbench import Workbench

FEWEST_JUDGES = 16
MOST_TENSORS = 24
"""Whose ranges are tried one by one."""
NARROWER = 0.97
"""Of the range of min-max; what is wider is not worth a trial."""


@dataclass(frozen=True, eq=False)
class _Found:
    """A form of the run with its result and the errors of that, [samples, outputs]."""

    form: Form
    written: Written
    errors: Array

    @property
    def before(self) -> Calibrated:
        """What was calibrated, not yet equalized."""
        before = self.written.assigned.calibrated.before
        assert before is not None
        return before


_Change = tuple[str, Callable[[Form], Form]]
_Trial = tuple[_Change, "Array | None", "_Found | None"]
"""A change, the errors that it has, and the run in that form, where that is here."""
_Several = Callable[[Workbench, Judges, _Found, Sequence[_Change]], Iterator[_Trial]]


@contextlib.contextmanager
def _engine(calibrated: Calibrated) -> Iterator[_Several]:
    """What tries changes of a run as it is, in order, and says their errors: here, or several at once on a cluster."""
    scheduler = calibrated.prepared.loaded.options.scheduler
    if scheduler is None:
        yield _one_by_one
        return
    from fullint.cluster.connection import Cluster
    from fullint.quantization.search_there import errors_there  # mostly not needed

    with Cluster(scheduler) as cluster:

        def there(bench: Workbench, judges: Judges, now: _Found, changes: Sequence[_Change]) -> Iterator[_Trial]:
            some = changes[: cluster.threads]
            forms = [change(now.form) for _, change in some]
            errors = errors_there(cluster, now.before, judges, [(form, _carried(now, form)) for form in forms])
            yield from ((change, one, None) for change, one in zip(some, errors, strict=True))

        yield there


def _one_by_one(bench: Workbench, judges: Judges, now: _Found, changes: Sequence[_Change]) -> Iterator[_Trial]:
    for what, change in changes:
        tried = _tried(bench, judges, now, change(now.form), anew=False)
        yield (what, change), None if tried is None else tried.errors, tried


def search(bench: Workbench, written: Written) -> Written:
    """The result, or a better one; an interrupt ends the search and loses nothing."""
    calibrated = written.assigned.calibrated
    if calibrated.prepared.loaded.options.effort != "best":
        return written
    with bench.trials("search"), bench.quietly():
        try:
            judges = judges_of(bench, calibrated, FEWEST_JUDGES)
            if isinstance(judges, str):
                return _warned(written, f"effort best: {judges}, so that nothing else was tried")
            return _best(bench, written, judges)
        except KeyboardInterrupt:
            bench.restart()
            return _warned(written, "effort best: interrupted before anything else was tried")


def _warned(written: Written, text: str) -> Written:
    return replace(written, warnings=(*written.warnings, text))


def _best(bench: Workbench, written: Written, judges: Judges) -> Written:
    first = now = _Found(Form(), written, judges.errors(bench.worker, written))
    choosing = np.arange(len(judges.samples)) % 2 == 0
    changes = _changes(written.assigned.calibrated)
    trials: list[TriedForm] = []
    said: tuple[str, ...] = ()
    try:
        with _engine(written.assigned.calibrated) as several:
            while len(trials) < len(changes):
                for (what, change), errors, found in several(bench, judges, now, changes[len(trials) :]):
                    bench.told("search", len(trials), len(changes) + 1)
                    gain, better = _gain(now.errors, errors, choosing)
                    trials.append(TriedForm(what, gain, better))
                    if better:
                        now = found or _tried(bench, judges, now, change(now.form), anew=False) or now
                        break
        bench.told("search", len(changes), len(changes) + 1)
        if now.form.narrow:  # so far, weights were carried over where they fitted
            now = _tried(bench, judges, now, now.form, anew=True) or now
    except KeyboardInterrupt:
        bench.restart()
        said = (f"effort best: interrupted after {len(trials)} of {len(changes)} trials; the best so far is kept",)
    except FullintError as e:  # of a cluster: those of trials are results
        said = (f"effort best: ended after {len(trials)} of {len(changes)} trials; the best so far is kept: {e}",)
    if now is first:
        return replace(written, trials=tuple(trials), warnings=(*written.warnings, *said))
    gain, _ = _gain(first.errors, now.errors, ~choosing)
    if gain is None or gain <= 0:
        trials, now = [replace(t, kept=False) for t in trials], first
        said = (*said, "effort best: what half of the samples chose was not better on the other half; nothing of it is kept")
    return replace(now.written, trials=tuple(trials), warnings=(*now.written.warnings, *said))


def _tried(bench: Workbench, judges: Judges, now: _Found, form: Form, *, anew: bool) -> _Found | None:
    """The run in another form; None where no model comes of it."""
    known = () if anew else _carried(now, form)
    try:
        written = built_in_form(bench, now.before, form, known)
        return _Found(form, written, judges.errors(bench.worker, written))
    except FullintError:
        return None


def _carried(now: _Found, form: Form) -> tuple[Refined, ...]:
    """Weights that a form only moves ranges of."""
    return now.written.refined if replace(form, narrow=now.form.narrow) == now.form else ()


def _gain(old: Array, new: Array | None, which: Array) -> tuple[float | None, bool]:
    """How much nearer the new answers are to those of the float model, in dB, and whether by more than chance.

    Args:
        old, new: squared errors, [samples, outputs]; None where no model came of it.
        which: samples that count.
    """
    if new is None or old.shape != new.shape:
        return None, False
    a, b = old[which], new[which]
    each = 10 * np.log10(b / a).mean(axis=1)
    mean, chance = float(each.mean()), float(each.std(ddof=1) / np.sqrt(len(each)))
    better = mean < -WORTH_DB and mean < -chance and bool((b.sum(axis=0) <= a.sum(axis=0)).all())
    return round(-mean, 2), better


def _changes(calibrated: Calibrated) -> list[tuple[str, Callable[[Form], Form]]]:
    """What may be done otherwise, in the order in which it is tried."""
    before = calibrated.before
    assert before is not None
    cut = {t: n.span.width / n.plain.with_zero().width for t, n in before.could_be.items() if n.plain.with_zero().width > 0}
    narrower = sorted((t for t, share in cut.items() if share < NARROWER), key=lambda t: cut[t])
    found: list[tuple[str, Callable[[Form], Form]]] = []
    if any(c.rule == "equalize" for c in calibrated.changes):
        found += [
            ("less room for values that no sample has shown", lambda f: replace(f, trust=4.0)),
            ("more room for values that no sample has shown", lambda f: replace(f, trust=0.25)),
            ("channels keep their sizes", lambda f: replace(f, equalized=False)),
        ]
    found.append(("weights rounded to the nearest codes", lambda f: replace(f, rounded=False)))
    if len(narrower) > 1:
        every = frozenset(narrower)
        found.append((f"ranges of the least squared error for {len(narrower)} tensors", lambda f: replace(f, narrow=every)))
    for t in narrower[:MOST_TENSORS]:
        found.append((f'range of "{t.name}" by the other of min-max and least squared error', partial(_other_range, t)))
    return found


def _other_range(t: Tensor, form: Form) -> Form:
    return replace(form, narrow=form.narrow ^ {t})
