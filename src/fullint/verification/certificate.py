"""The certificate: the written bytes verified, run on every kernel set, and compared with the float model.

    SQNR = 10 log10( sum ref^2 / sum (ref - out)^2 )  dB      over all samples together, per output

The float model and the result run in child processes. XNNPACK runs all held-back samples; the other kernel sets are slow
and run as many as the model's multiply-accumulates allow; of a large model, one operator of each form (`kernel_forms`). Where a
kernel set lacks an operator or is known to compute one wrong, the op table and the certificate say so.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fullint.errors import RuntimeFailure, SamplesError, VerificationError
from fullint.model.ir import Array, Model, Op, Tensor
from fullint.ops import KERNEL_SETS
from fullint.ops.control_flow import BODY
from fullint.ops.macs import total_macs
from fullint.runtime.messages import Answer, Message, Open, Run
from fullint.runtime.process import WorkerProcess, model_file
from fullint.verification.answers import Answers
from fullint.verification.contract import contract_problems
from fullint.verification.judged_parts import JudgedOutput
from fullint.verification.kernel_forms import WHOLE_MACS, Forms, forms_of, stands_alone
from fullint.verification.kernel_outputs import count_far, integer_inputs, largest_steps, real
from fullint.verification.kernel_verdicts import SLOW, KernelTrials, Trial, kernel_sets
from fullint.verification.metrics import Score, known_to, mean_sqnr, worse_than
from fullint.verification.output_parts import OutputParts
from fullint.verification.paired_runs import BEGUN, THREADS, ExactOutputs, PairedRuns
from fullint.verification.qualities import mean_interval, quality
from fullint.verification.report import Certificate
from fullint.verification.slow_kernels import SlowKernels

SLOW_SET_SAMPLES = 4
"""Most samples for the slow kernels, as long as `WHOLE_MACS` allow them: they do about a giga-MAC per second."""
FIRST_SAMPLES = 8
ENOUGH = 24
"""Samples from which on parts of outputs, and answers, are judged on those held back alone."""
LEAST_SAMPLES, LEAST_VALUES, NEAR_DB = 4, 200, 1.5
"""With fewer samples, fewer values of an output, or a figure that is not known so well, those held back do not judge alone."""
LEAST_KNOWN = 100
"""Of fewer samples a figure is not known, however near it seems: those that have most of the noise may be rare."""
JUDGED_MACS = 5_000_000_000
"""Multiply-accumulates of calibrated samples that judge beside those held back, to know a figure nearer."""
CHECKED = (
    "no float operand or result, except for operators kept in float on request",
    "weights int8 in [-127, 127] with zero point 0, biases int32 (int64 with int16 activations) with scale s_in * s_w",
    "shared and fixed scales as the kernels require",
    "no constant shared by tensors with different parameters",
    "static shapes",
    "operator versions",
)
PATIENCE, SLOWER = 20.0, 200.0
"""Time limit for models with loops: `PATIENCE` seconds plus `SLOWER` times the float model's time. A loop condition that
integer values never meet would run forever."""


def certify(
    original: str,
    given: tuple[Sequence[Tensor], Sequence[Tensor]],
    result: Model,
    data: bytes,
    held: Iterable[Sequence[Array]],
    worker: WorkerProcess,
    other: WorkerProcess,
    *,
    parts: Sequence[OutputParts],
    also: Sequence[Sequence[Array]] = (),
    held_back: bool,
    drawn: bool = False,
    uncalibrated: bool,
    float_io: bool,
    reference: str = "the float model",
    kept: Mapping[tuple[int, int], str] | None = None,
    check: bool = True,
    slow: bool = True,
    known: ExactOutputs | None = None,
) -> Compared:
    """Verify and run a result.

    Args:
        original: path of the model it was made from.
        given: inputs and outputs of that model; their parameters dequantize what is quantized there.
        result: the model as read back from `data`.
        data: the bytes that will be written.
        held: samples in the original's types, arrays in graph input order.
        worker, other: idle child processes.
        parts: how each of the result's outputs is divided.
        also: samples that took part in calibration, to judge on where too few are held back.
        held_back: whether the samples took no part in calibration.
        drawn: whether the samples are random because none were given.
        uncalibrated: whether the ranges come from synthetic samples.
        float_io: whether float inputs and outputs were requested.
        reference: what the original is, in words.
        check: whether to check the contract.
        slow: whether it is run on the slow kernel sets, too.
        known: outputs of the original that are known.
        kept: (graph, index) of operators of the result that may be float -> their description, "" for conversions.

    Raises:
        VerificationError: a rule of the contract is broken, or a kernel set disagrees for no known reason.
        RuntimeFailure: the original does not run.
    """
    with contextlib.ExitStack() as files:
        path = files.enter_context(model_file(data))
        run = _Run(original, given, path, result, worker, other, parts, slow=slow, known=known)
        run.start(held, files)
        problems = list(contract_problems(result, float_io, kept or {})) if check else []  # while the slow kernels run
        if problems:
            raise VerificationError(problems)
        run.compare(also)
        joined = run.judge_also(also)
        sets = kernel_sets(run.tried())
    trial = run.trials["xnnpack"]
    scored = zip(result.main.outputs, trial.scores, run.judged, run.alone or trial.scores, strict=True)
    qualities = [quality(t, s, j, alone) for t, s, j, alone in scored]
    certificate = Certificate(
        integer=True,
        except_for=tuple(text for text in (kept or {}).values() if text),
        checks=CHECKED,
        samples=trial.samples,
        held_back=held_back,
        drawn=drawn,
        uncalibrated=uncalibrated,
        reference=reference,
        sqnr_db=trial.sqnr,
        outputs=tuple(qualities),
        kernel_sets=sets,
        interval_db=mean_interval(qualities),
        also_calibrated=joined if held_back else 0 if drawn else trial.samples,
        held_back_sqnr_db=mean_sqnr(run.alone) if held_back and joined else None,
    )
    return Compared(certificate, tuple(run.answers))


@dataclass(frozen=True, eq=False)
class Compared:
    """A certificate, and what the outputs answered on its samples, in their order."""

    certificate: Certificate
    answers: tuple[Answers, ...]


class _Run:
    """Runs the original and the result on the samples, and collects one `Trial` per kernel set."""

    def __init__(
        self,
        original: str,
        given: tuple[Sequence[Tensor], Sequence[Tensor]],
        path: str,
        result: Model,
        worker: WorkerProcess,
        other: WorkerProcess,
        parts: Sequence[OutputParts],
        *,
        slow: bool,
        known: ExactOutputs | None,
    ) -> None:
        self.slow: tuple[str, ...] = SLOW if slow else ()
        self.known = known
        self.original, self.path, self.result = original, path, result
        self.ends, self.given = given
        self.worker, self.other = worker, other
        self.trials = {name: Trial(name, scores=[Score() for _ in result.main.outputs]) for name in KERNEL_SETS}
        self.failures: dict[str, RuntimeFailure] = {}
        self.loops = any(BODY in op.options for _, op in result.ops())
        self.macs = max(total_macs(result), 1)
        self.alike: dict[str, Trial] = {}
        self.judged = [JudgedOutput(p) for p in parts]
        self.answers = [Answers.of(t) for t in result.main.outputs]
        self.alone: list[Score] = []
        self.forms: Forms | None = None

    def start(self, held: Iterable[Sequence[Array]], files: contextlib.ExitStack) -> None:
        """Start the slow kernels on a few of the samples that judge.

        worker     float model, then XNNPACK on the first samples     float model on the rest, and on more (`judge_also`)
        other      reference, builtin on a few of them                XNNPACK on the rest

        Where the float model's outputs are known already, it is the result that the one process runs while the other is busy.
        """
        self.held = iter(held)
        self.beginning = list(itertools.islice(self.held, FIRST_SAMPLES))
        if not self.beginning:
            raise VerificationError(["no sample is left to judge the result on"])
        self.shapes = [a.shape for a in self.beginning[0]]
        self.pairs = PairedRuns(self.original, self.path, self.worker, self.other, self.shapes, self._inputs, self.known)
        self.ready = [self._inputs(sample) for sample in self.beginning]
        count = max(1, min(SLOW_SET_SAMPLES, WHOLE_MACS // self.macs))
        path, ready = self.path, self.ready[:count]
        if self.slow and (alone := stands_alone(self.result)):
            self.forms = self._formed(alone)
            path, ready = files.enter_context(model_file(self.forms.alone.model)), [self.forms.given]
        self.slow_kernels = SlowKernels(self.slow, self.other, path, ready)

    def _formed(self, alone: Sequence[Op]) -> Forms:
        try:
            return forms_of(self.other, self.result, alone, self.ready[0])
        except RuntimeFailure as e:
            raise VerificationError([f"XNNPACK: {e}"]) from e

    def compare(self, also: Sequence[Sequence[Array]] = ()) -> None:
        """Run everything on the samples that judge, keeping both child processes busy."""
        started = time.perf_counter()
        references = self._references()
        self.worker.patience = self.other.patience = PATIENCE + SLOWER * (time.perf_counter() - started) if self.loops else None
        self._call(self.worker, Open(self.path, "xnnpack", THREADS))
        results = [self._call(self.worker, Run(sample)) for sample in self.ready]
        rest = list(itertools.islice(self.held, BEGUN))
        self._run_ahead(rest or also[: self._surely(len(also))])
        outputs = {name: self.slow_kernels.outputs(self.failures) for name in self.slow}
        self._score_first(references, results, outputs)
        for reference, result in self.pairs.results(itertools.chain(rest, self.held)):
            self._add(self.trials["xnnpack"], reference, result)

    def _surely(self, most: int) -> int:
        """How many samples `judge_also` asks for in any case, where the first are all that was held back."""
        return min(most, max(ENOUGH - len(self.beginning), min(self._budget(), LEAST_KNOWN - len(self.beginning))))

    def _run_ahead(self, samples: Sequence[Sequence[Array]]) -> None:
        """While the slow kernels run: the result where the float model has answered already, and the float model elsewhere."""
        if self.slow:
            for sample in samples[:BEGUN]:
                if self.pairs.known_of(sample) is not None:
                    self.pairs.answered[id(sample)] = self._call(self.worker, Run(self._inputs(sample)))
        self.pairs.begin(samples)

    def _references(self) -> list[list[Array]]:
        """What the original answers to the first samples."""
        found = [self.pairs.known_of(sample) for sample in self.beginning]
        if any(outputs is None for outputs in found):
            self.worker.call(Open(self.original, "xnnpack", THREADS, self.shapes))
        pairs = zip(self.beginning, found, strict=True)
        return [self.worker.call(Run(list(s))) if known is None else known for s, known in pairs]

    def _budget(self) -> int:
        """How many calibrated samples may judge beside those held back."""
        return max(1, JUDGED_MACS // self.macs)

    def _score_first(self, references: list[list[Array]], results: list[list[Array]], slow: dict[str, list[list[Array]]]) -> None:
        for reference, result in zip(references, results, strict=True):
            self._add(self.trials["xnnpack"], reference, result)
        for name, outputs in slow.items():
            if self.forms is not None:
                self.trials[name].forms = [trial for output in outputs for trial in self.forms.compare(output)]
                continue
            for reference, result, output in zip(references, results, outputs, strict=False):
                self._add(self.trials[name], reference, output)
                self.trials[name].steps = max(self.trials[name].steps, largest_steps(result, output))
                self.trials[name].values += sum(x.size for x in output)
                self.trials[name].far += count_far(result, output)
            self.alike[name] = Trial(name, scores=[Score() for _ in self.result.main.outputs])
            for reference, result in zip(references[: len(outputs)], results, strict=False):
                self._add(self.alike[name], reference, result)

    def judge_also(self, also: Sequence[Sequence[Array]]) -> int:
        """Judge on more samples where those so far are too few to tell; returns how many of them count for the figures.

        The figures take as many as are `wanted`; parts and answers are looked at on `ENOUGH`. Where those held back are
        worse than all together by more than chance, ranges fit the calibrated ones too well, and those held back judge alone.
        """
        trial = self.trials["xnnpack"]
        held = trial.samples
        self.alone = copy.deepcopy(trial.scores)
        if not also or not held:
            self.pairs.end()
            return 0
        budget = self._budget()
        needed = max(LEAST_SAMPLES, -(-LEAST_VALUES // min((t.size for t in self.result.main.outputs if t.size), default=1)))

        def wanted() -> bool:
            known = trial.samples >= LEAST_KNOWN and known_to(NEAR_DB, trial.scores)
            return trial.samples < needed or (trial.samples - held < budget and not known)

        def more() -> Iterator[None]:
            while wanted() or self.answers[0].count < ENOUGH:
                yield

        with contextlib.closing(self.pairs.results(also)) as pairs:
            for _, (reference, outputs) in zip(more(), pairs, strict=False):
                if wanted():
                    self._add(trial, reference, outputs)
                else:
                    self._judge(reference, outputs)
        self.pairs.end()
        if any(worse_than(a, b) for a, b in zip(self.alone, trial.scores, strict=True)):
            trial.scores, trial.samples = self.alone, held
        return trial.samples - held

    def _judge(self, reference: Sequence[Array], outputs: Sequence[Array]) -> None:
        for i, (given, t, a, b) in enumerate(zip(self.given, self.result.main.outputs, reference, outputs, strict=True)):
            judged, x, y = self.judged[i], real(a, given), real(b, t)
            judged.add(judged.ordered(x), judged.ordered(y))
            self.answers[i].add(x, y, b)

    def _inputs(self, sample: Sequence[Array]) -> list[Array]:
        """A sample for the original, converted to the result's input types."""
        return integer_inputs(self.result, sample, self.ends)

    def _call(self, worker: WorkerProcess, message: Message[Answer]) -> Answer:
        """Run the result on XNNPACK; any failure is a VerificationError."""
        try:
            return worker.call(message)
        except RuntimeFailure as e:
            raise VerificationError([f"XNNPACK: {e}"]) from e

    def _check(self, reference: Sequence[Array], outputs: Sequence[Array]) -> None:
        for t, ref, out in zip(self.given, reference, outputs, strict=True):
            if ref.dtype.kind == "f" and not np.isfinite(ref).all():
                where = f'on a held-back sample, output "{t.name}" of the float model is NaN or infinite'
                raise SamplesError(f"{where}; remove the sample, or correct the model")
            if ref.shape != out.shape:
                raise VerificationError(
                    [f'output "{t.name}" has shape {list(out.shape)}, but {list(ref.shape)} in the float model']
                )

    def _add(self, trial: Trial, reference: Sequence[Array], outputs: Sequence[Array]) -> None:
        self._check(reference, outputs)
        trial.samples += 1
        tensors = self.result.main.outputs
        for i, (score, tensor, ref, out) in enumerate(zip(trial.scores, tensors, reference, outputs, strict=True)):
            judged = self.judged[i]
            a, b = judged.ordered(real(ref, self.given[i])), judged.ordered(real(out, tensor))
            score.add(a, b, self.answers[i].classes > 1, judged.parts.grid)
        if trial is self.trials["xnnpack"]:
            self._judge(reference, outputs)

    def tried(self) -> KernelTrials:
        """What was run."""
        sample, inputs = self.beginning[0], self.ready[0]
        return KernelTrials(self.result, self.original, sample, inputs, self.slow, self.trials, self.alike, self.failures)
