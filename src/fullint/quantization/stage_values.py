"""The values that the stages of a run hand on. Each is whole when it is made, and nobody changes it afterwards.

    Request --load--> Loaded --prepare--> Prepared --calibrate--> Calibrated
            --decide--> Assigned --build--> Written --certify--> Result

A stage is a function from one of them to the next (`pipeline` lists them in order). A value holds the one it was made
of, and what its own stage did: changes to the model, and warnings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fullint.calibration.input_values import InputValues
from fullint.calibration.outliers import Outliers
from fullint.calibration.samples import Held, Samples
from fullint.calibration.samples.values_seen import ValuesSeen
from fullint.calibration.signatures import Entry
from fullint.calibration.statistics import Measured, Narrowed
from fullint.frontends.report import Conversion
from fullint.model.ir import Array, Model, Op, Quant, Tensor
from fullint.model.ranges import Range
from fullint.model.tflite.packed_files import NO_FILES, PackedFiles
from fullint.options import QuantizeOptions, RecipeRule
from fullint.passes.as_trained import as_trained
from fullint.quantization.assignment import Assignment, Granularity
from fullint.quantization.emit import Emitted
from fullint.quantization.forms import AS_USUAL, Form
from fullint.quantization.operator_settings import NOTHING, OperatorSettings, Place
from fullint.quantization.range_selection import SelectedRanges
from fullint.quantization.refine import Refined
from fullint.quantization.streams import Stream
from fullint.reporting import Change
from fullint.verification.report import Accuracy

Source = str | Path | bytes


@dataclass(frozen=True, eq=False, repr=False)
class Request:
    """What was asked for.

    Attributes:
        options: checked.
        reject_bad_scales: whether a file whose scales make no sense is refused when it is read.
        apply_qat_params: whether parameters that a model brings along are taken over.
        require_every_output: whether every output must reach `min_sqnr`, not only their mean.
        can_split: whether outputs may be taken apart; those of a repair have to stay what they are.
    """

    options: QuantizeOptions
    reject_bad_scales: bool = True
    apply_qat_params: bool = True
    require_every_output: bool = False
    can_split: bool = True

    @property
    def given(self) -> Source:
        """Path or bytes of a model."""
        return self.options.source

    @property
    def samples(self) -> Any:
        """As the user gave them."""
        return self.options.samples


@dataclass(frozen=True, eq=False, repr=False)
class Loaded:
    """A model as the file says it, but for operators that LiteRT does not run.

    Attributes:
        options: those of the request, or what a repair makes of them.
        source: the float `.tflite`: as given, or as a front end made it.
        model: with constants from outside the file inside.
        entries: graphs that are run with inputs from outside.
        conversion: how a front end made it, if one did.
        granularity: which weights get one scale per channel.
        reference: what results are compared with, in words.
        pinned: parameters, with their type, that some tensors are to have.
        assumptions: what had to be assumed so far, in sentences.
        packed: files packed behind the given model, such as labels.
        corrected: files of a repair in which faulty operators compute what the given file says; none where none is faulty.
        on_purpose: whether some of that changes what the given file computes on LiteRT.
    """

    request: Request
    options: QuantizeOptions
    source: Source
    model: Model
    entries: tuple[Entry, ...]
    granularity: Granularity
    conversion: Conversion | None = None
    reference: str = "the float model"
    pinned: Mapping[Tensor, tuple[Quant, str]] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    assumptions: tuple[str, ...] = ()
    packed: PackedFiles = NO_FILES
    corrected: tuple[Entry, ...] = ()
    on_purpose: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Prepared:
    """The model in the form the op table speaks of: static shapes, no operator that has to be written otherwise.

    Attributes:
        pinned: parameters, with their type, that some tensors are to have.
        chosen: how many operators the user keeps in float.
        wide: (graph of `model`, index in the given file) of operators that were chosen to compute in int16, besides those named.
        notes: what the user should know of the form of the result, in sentences.
        ranges: methods that make ranges, with what they are for.
        settings: what is asked for of single operators, by (graph of `model`, index in the given file) and type.
        symmetric_inputs: inputs that get zero point 0.
    """

    loaded: Loaded
    model: Model
    pinned: Mapping[Tensor, tuple[Quant, str]]
    chosen: int
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    wide: frozenset[tuple[int, int]] = frozenset()
    notes: tuple[str, ...] = ()
    ranges: tuple[SelectedRanges, ...] = ()
    settings: Mapping[Place, Mapping[str, OperatorSettings]] = field(default_factory=dict)
    symmetric_inputs: tuple[Tensor, ...] = ()

    def asked(self, number: int, op: Op) -> OperatorSettings:
        """What is asked for of an operator of a graph; of one that was made of another type later, what was of that."""
        kinds = self.settings.get((number, op.origin), {})
        return kinds.get(op.kind) or next((s for s in kinds.values() if s != NOTHING), NOTHING)

    def is_wide(self, number: int, op: Op) -> bool:
        """Whether an operator was named, or chosen, to compute in int16."""
        return (number, op.origin) in self.wide or bool(self.asked(number, op).int16)

    def effort(self, op: Op) -> str:
        """How much work the weights of an operator of the main graph are worth."""
        return self.asked(0, op).effort or self.loaded.options.effort


@dataclass(frozen=True, eq=False, repr=False)
class Channels:
    """What equalization works with: streams, the ranges of their channels over `count` samples, values of the float inputs."""

    streams: tuple[Stream, ...] = ()
    ranges: Mapping[Tensor, tuple[Array, Array]] = field(default_factory=dict)
    inputs: InputValues = field(default_factory=InputValues)
    count: int = 0


@dataclass(frozen=True)
class MixedStep:
    """Operators that may compute in int16, and what that gives in addition to the steps before.

    Attributes:
        operators: indices in the given file.
        kinds: types of what has become of them.
        output: name of what the last one writes.
        gain_db: how much higher the SQNR is.
        sqnr_db: what it then is.
        latency: predicted, as a multiple of the all-int8 model's.
        kept: whether the result has it; false where it would make the network too slow.
    """

    operators: tuple[int, ...]
    kinds: tuple[str, ...]
    output: str
    gain_db: float
    sqnr_db: float
    latency: float
    kept: bool = True


@dataclass(frozen=True)
class MixedReport:
    """What `mixed` chose.

    Attributes:
        wanted_sqnr_db: what was to be reached; None where it was accuracy.
        before_sqnr_db: of the all-int8 model; on the samples of the trials, as all figures here.
        after_sqnr_db: with the chosen operators in int16.
        chosen: their indices in the given file.
        steps: in order; with those that were not kept.
        predicted_latency: as a multiple of the all-int8 model's, by a table of kernel times.
        measured_latency: the same on this machine, one thread; None where nothing was chosen, or LiteRT is not the target.
        samples: that judged.
        reached: whether what was wanted is reached.
        accuracy: share of right answers of the float model and of the result, where there are labels.
    """

    wanted_sqnr_db: float | None
    before_sqnr_db: float
    after_sqnr_db: float
    chosen: tuple[int, ...]
    steps: tuple[MixedStep, ...]
    predicted_latency: float
    measured_latency: float | None
    samples: int
    reached: bool
    accuracy: Accuracy | None = None

    def rules(self) -> tuple[RecipeRule, ...]:
        """What was chosen, as a recipe says it."""
        return (RecipeRule(match=self.chosen, int16=True),) if self.chosen else ()


@dataclass(frozen=True, eq=False, repr=False)
class Calibrated:
    """Ranges of all values that need one.

    Attributes:
        model: the prepared one, or an equalized form of it.
        measured: ranges, maxima of rows, largest states.
        held: for each entry, the samples that judge.
        refining: samples that weights are rounded and biases corrected on.
        bounded: whether some ranges are bounds, which samples would make narrower.
        loose: values whose bounds are much too wide, and why.
        assumptions: what had to be assumed, in sentences.
        digest: SHA-256 that tells the samples that calibrated from others; None where none did.
        samples: of each entry, as they were opened.
        seen: what the values given to each input of each entry are like.
        outliers: samples of the main entry that alone set ranges.
        outlier_samples: their numbers in the source.
        left_apart: these samples themselves, as far as they are kept, as the given model takes them.
        rest: the same without them, where they were not left out.
        narrowed: how ranges came about that are not min-max.
        plain: the same with min-max in their place, not equalized.
        could_be: ranges of the least squared error that tensors could have; measured for the best effort only.
        growth: by what share both ends of a range lie farther out than those of half of the samples; of the main entry's values.
        form: how it is to be carried out.
        before: the same, not yet equalized.
        mixed: which operators were chosen for int16, where that was asked for.
        elsewhere: how many samples calibrated that are not at hand, their statistics are; None where all are at hand.
        uncertified: whether ranges come from samples, and none of them is at hand to judge the result on.
    """

    prepared: Prepared
    model: Model
    measured: Measured
    held: tuple[Held, ...]
    refining: tuple[list[Array], ...] = ()
    channels: Channels = Channels()
    bounded: bool = False
    loose: Mapping[Tensor, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    digest: str | None = None
    samples: tuple[Samples, ...] = ()
    seen: tuple[tuple[ValuesSeen, ...], ...] = ()
    outliers: Outliers | None = None
    outlier_samples: tuple[int, ...] = ()
    left_apart: tuple[list[Array], ...] = ()
    rest: Calibrated | None = None
    narrowed: Mapping[Tensor, Narrowed] = field(default_factory=dict)
    plain: Calibrated | None = None
    could_be: Mapping[Tensor, Narrowed] = field(default_factory=dict)
    growth: Mapping[Tensor, tuple[float, float]] = field(default_factory=dict)
    form: Form = AS_USUAL
    before: Calibrated | None = None
    mixed: MixedReport | None = None
    elsewhere: int | None = None
    uncertified: bool = False

    @property
    def found_rules(self) -> tuple[RecipeRule, ...]:
        """What the run chose by itself, as a recipe says it."""
        return self.mixed.rules() if self.mixed is not None else ()

    @property
    def as_trained(self) -> Model:
        """The model that integers are compared with: the same, but for the rounding of its training."""
        return as_trained(self.model, self.prepared.pinned)

    @property
    def ranges(self) -> Mapping[Tensor, Range]:
        """Smallest and largest value of each tensor."""
        return self.measured.ranges


@dataclass(frozen=True, eq=False, repr=False)
class Assigned:
    """Scale, zero point and type of every tensor.

    Attributes:
        calibrated: with the model in the form that was decided on.
        given: what was decided on, to decide otherwise.
    """

    calibrated: Calibrated
    assignment: Assignment
    given: Calibrated
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class TriedForm:
    """Something that was done otherwise, and what it gave.

    Attributes:
        what: in words.
        gain_db: how much nearer the answers to half of the samples were to the float model's, mean over these; None where no
            model came of it.
        kept: whether the result has it.
    """

    what: str
    gain_db: float | None
    kept: bool


@dataclass(frozen=True, eq=False, repr=False)
class Written:
    """The all-integer model and its bytes.

    Attributes:
        emitted: the model, and what came about on the way.
        data: the file.
        places: (graph, index) of operators in the file that may be float -> their description, "" for borders.
        refined: what its weights and biases have become.
        trials: what was tried to make it better.
    """

    assigned: Assigned
    emitted: Emitted
    data: bytes
    places: Mapping[tuple[int, int], str]
    refined: tuple[Refined, ...] = ()
    changes: tuple[Change, ...] = ()
    warnings: tuple[str, ...] = ()
    trials: tuple[TriedForm, ...] = ()
