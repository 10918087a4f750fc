"""Every choice a user has when a model is made integer, said once.

    @dataclass field  ->  keyword of the Python call    quantize(model, samples, io="int8")
                      ->  flag of the command           fullint quantize model.tflite --io int8
                      ->  line of the report            {"options": {"io": "int8", ...}}
                      ->  row of the documentation

A field's default and its annotation hold everywhere; its metadata (`flags`) say what it means and how a command spells
it. Nothing heavy is imported here: the commands read these classes before they know what they are to do.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from fullint.errors import UsageError
from fullint.options.flags import flag_of, said
from fullint.options.of_ranges import RangeChoice, parse_ranges
from fullint.options.of_samples import ModelOptions, SampleOptions, is_default, numbers, one_of
from fullint.options.recipes import Recipe, RecipeRule, RecipeSource, recipe_of
from fullint.options.toml_tables import require_known
from fullint.targets import TARGETS, names_of_targets, target_of

IO_TYPES = ("auto", "int8", "uint8", "int16", "float32")
ACTIVATION_TYPES = ("int8", "int16")
EFFORTS = ("fast", "balanced", "best")
CERTIFY = ("full", "fast")
WEIGHTS = ("auto", "per-channel", "per-tensor")
FRAMEWORK_NAMES = ("auto", "keras", "torch", "onnx")
MEMORY_TARGETS = ("tflm",)
"""Targets that `inspect` measures memory for."""
SNIPPET_LANGUAGES = ("python", "cpp", "c", "kotlin")

MOST_DB, ACCURACY = 100, "accuracy"
REPLACED = ("mixed",)
"""Options of a run that its recipe has as rules instead."""

FRAMEWORK_HELP = "What makes the model of module.py:function, where its imports do not tell."


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ConvertOptions(ModelOptions):
    """Choices of `fullint.convert`."""

    model: str | Path | bytes = field(
        kw_only=False,
        metadata=said(
            "Path of a .keras, .h5, .onnx or .pt2 file or a SavedModel folder; or module.py:function, a function that returns a "
            "Keras model, or (PyTorch module, example inputs).",
            reported=False,
        ),
    )
    framework: str = field(default="auto", metadata=said(FRAMEWORK_HELP, choices=FRAMEWORK_NAMES))

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        one_of("framework", self.framework, FRAMEWORK_NAMES)
        if not isinstance(self.model, str | Path):
            raise UsageError(f"the model must be a path, not {type(self.model).__name__}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunOptions(SampleOptions):
    """Choices that `quantize` and `repair` have in common."""

    model: str | Path | bytes = field(
        kw_only=False,
        metadata=said(
            "Path or bytes of a float or half-quantized .tflite; or the path of a model that fullint.convert takes.",
            reported=False,
        ),
    )
    keep_float: str | int | Sequence[str | int] | None = field(
        default=None, metadata=said("Operators that stay float.", metavar="NAME|TYPE|INDEX,...", converter=True)
    )
    int16: str | int | Sequence[str | int] | None = field(
        default=None,
        metadata=said(
            "Operators that compute in int16, with int8 weights; an output that one of them makes is int16.",
            metavar="NAME|TYPE|INDEX,...",
            converter=True,
        ),
    )
    io: str = field(
        default="auto",
        metadata=said(
            "Element type for float inputs and outputs: auto, int8, uint8, int16 or float32; one for both, or INPUTS,OUTPUTS. "
            "auto: the type of the activations. Inputs that carry ids, read by a CAST to integers only, are int32, unless "
            "float32 is asked for.",
            metavar="TYPE[,TYPE]",
        ),
    )
    target: str = field(
        default="litert",
        metadata=said(
            "Where the result is to run; several joined by commas: on all of them.",
            metavar=f"{'|'.join(TARGETS)}[,...]",
            converter=True,
        ),
    )
    threads: int | None = field(
        default=None,
        metadata=said(
            "Number of samples to run in parallel while calibrating.", parse=int, shown="number of cores", converter=True
        ),
    )
    effort: str = field(
        default="balanced",
        metadata=said(
            "How much work accuracy is worth. fast: biases of the last layers are corrected; balanced: all weights are rounded, "
            "and all biases corrected, for what each operator really computes; best: other ranges and forms are tried besides, "
            "for minutes, and what samples show to be better is kept; an interrupt ends the trials and keeps what is done.",
            choices=EFFORTS,
            converter=True,
        ),
    )
    certify: str = field(
        default="full",
        metadata=said(
            "What the result is run on before it is handed out. full: all of LiteRT's kernel sets; fast: XNNPACK alone, and the "
            "certificate says so. Both verify its structure and compare it with the float model.",
            choices=CERTIFY,
            converter=True,
        ),
    )
    recipe: RecipeSource | None = field(
        default=None,
        metadata=said(
            "Options of this call, and rules for operators by name, pattern, type or index, in TOML; as `quantize --plan` prints "
            "it. What is given besides, with another value than its default, counts more.",
            metavar="FILE",
            converter=True,
        ),
    )
    min_sqnr: float = field(
        default=5.0, metadata=said("Write nothing below this SQNR, in dB.", metavar="DB", parse=float, converter=True)
    )
    allow_lost: str | Sequence[str] = field(
        default=(),
        metadata=said(
            "Accept that this part of an output is lost, by the name that the error gives it.",
            metavar="PART",
            several=True,
            converter=True,
        ),
    )

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        if self.threads is not None and (not isinstance(self.threads, int) or isinstance(self.threads, bool)):
            raise UsageError(f"threads must be an integer, not {self.threads!r}")
        if not isinstance(self.min_sqnr, int | float) or not math.isfinite(self.min_sqnr):
            raise UsageError(f"min_sqnr must be a finite number of dB, not {self.min_sqnr!r}")
        given = self.io.split(",") if isinstance(self.io, str) else []
        if len(given) not in (1, 2) or not {*given} <= {*IO_TYPES}:
            raise UsageError(f'io must be one of {", ".join(IO_TYPES)}, or two of them (inputs,outputs), not "{self.io}"')
        names_of_targets(self.target)
        one_of("effort", self.effort, EFFORTS)
        one_of("certify", self.certify, CERTIFY)
        for name in ("keep_float", "int16"):
            k = getattr(self, name)
            if isinstance(k, bool) or (not isinstance(k, str | int | None) and not _all_text(k, int)):
                raise UsageError(f"{name} must be an index, a type, a name, or a sequence of them, not {k!r}")
        if not isinstance(self.allow_lost, str) and not _all_text(self.allow_lost):
            raise UsageError(f"allow_lost must be the name of a part, or a sequence of names, not {self.allow_lost!r}")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be at least 1, not {self.threads}")
        recipe = recipe_of(self.recipe)
        if recipe.options:
            _ = _with_options_of(self, recipe)

    @property
    def rules(self) -> tuple[RecipeRule, ...]:
        """Of the recipe."""
        return recipe_of(self.recipe).rules

    @property
    def accepted(self) -> frozenset[str]:
        """Names of the parts that may be lost."""
        return frozenset((self.allow_lost,) if isinstance(self.allow_lost, str) else self.allow_lost)

    @property
    def float_ends(self) -> tuple[bool, bool]:
        """Whether inputs, and outputs, of operators kept in float stay float."""
        types = self.io.split(",")
        return types[0] in ("auto", "float32"), types[-1] in ("auto", "float32")

    @property
    def workers(self) -> int:
        """Samples run at the same time."""
        if self.threads is not None:
            return self.threads
        return len(usable_cores())


def usable_cores() -> tuple[int, ...]:
    """The cores that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else tuple(range(os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class QuantizeOptions(RunOptions):
    """Choices of `fullint.quantize`."""

    scheduler: str | None = field(
        default=None,
        metadata=said(
            "Spread the work over the workers of this Dask cluster: models, where there are several; the samples of one.",
            metavar="tcp://HOST:PORT",
            reported=False,
        ),
    )
    shared: bool = field(
        default=False,
        metadata=said(
            "With --scheduler: workers read models and samples themselves, by paths that all of them see; without it, what they "
            "need is sent.",
            reported=False,
        ),
    )
    stats: Any = field(
        default=None,
        metadata=said(
            "Ranges from this calibration file, which `fullint calibrate` makes where the samples lie; what -c gives besides, a "
            "few, is for rounding weights, correcting biases and the certificate.",
            metavar="STATS.npz",
        ),
    )
    split_outputs: bool = field(
        default=False,
        metadata=said(
            "Take the last CONCATENATION or PACK off an output: each part becomes an output with its own scale.", converter=True
        ),
    )
    per_tensor: bool = field(default=False, metadata=said("One scale per weight tensor instead of one per output channel."))
    dense_per_tensor: bool = field(default=False, metadata=said("The same for FULLY_CONNECTED alone."))
    activations: str = field(
        default="int8",
        metadata=said(
            "int16: 16-bit activations with 8-bit weights; operators without an int16 kernel compute in int8.",
            choices=ACTIVATION_TYPES,
        ),
    )
    ranges: str | Sequence[str] = field(
        default="minmax",
        metadata=said(
            "How ranges are made of the samples: minmax, mse, percentile:P or histogram; for all tensors, or for the outputs of "
            "operators and for inputs that are named.",
            metavar="[NAME|TYPE|INDEX=]METHOD,...",
            converter=True,
        ),
    )
    mixed: float | str | None = field(
        default=None,
        metadata=said(
            "Let operators compute in int16 where that is cheap on the target: until so many dB are gained; without a number, "
            "until --min-sqnr is reached; with accuracy, until as many answers are right, by --labels, as the float model's. The "
            "report has what each gives and costs.",
            metavar="[DB|accuracy]",
            bare="0",
            shown="no operator but those that need it",
            converter=True,
        ),
    )
    synthetic: bool = field(default=False, metadata=said("Calibrate on random numbers: for speed trials only."))
    framework: str = field(default="auto", metadata=said(FRAMEWORK_HELP, choices=FRAMEWORK_NAMES))

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        one_of("framework", self.framework, FRAMEWORK_NAMES)
        for name in ("split_outputs", "per_tensor", "dense_per_tensor", "synthetic"):
            if not isinstance(getattr(self, name), bool):
                raise UsageError(f"{name} must be true or false, not {getattr(self, name)!r}")
        one_of("activations", self.activations, ACTIVATION_TYPES)
        self._check_mixed()
        parse_ranges(self.ranges)

    def _check_mixed(self) -> None:
        if self.mixed is None:
            return
        if self.mixed == ACCURACY:
            if self.labels is None:
                raise UsageError("mixed: accuracy is judged by labels: give --labels")
        elif isinstance(self.mixed, bool) or not 0 <= self.mixed_db <= MOST_DB:
            raise UsageError(f"mixed must be a number of dB from 0 to {MOST_DB}, or {ACCURACY}, not {self.mixed!r}")
        if self.activations != "int8":
            raise UsageError("mixed chooses operators for int16 among those in int8: leave activations at int8")
        if not target_of(self.target).int16:
            raise UsageError(f"mixed: {self.target} does not run operators in int16")

    @property
    def mixed_db(self) -> float:
        """By how many dB `mixed` is to raise the SQNR; NaN where it is something else."""
        try:
            return float(self.mixed) if self.mixed is not None else math.nan
        except (TypeError, ValueError):
            return math.nan

    @property
    def io_types(self) -> tuple[str, str]:
        """Type of the inputs, and of the outputs, that were float."""
        types = [self.activations if t == "auto" else t for t in self.io.split(",")]
        return types[0], types[-1]

    @property
    def range_choices(self) -> tuple[RangeChoice, ...]:
        """Methods that make ranges, and of which tensors; of several that name a tensor, the last one counts."""
        given = parse_ranges(self.ranges)
        rules = ((item, parse_ranges(r.ranges)[0]) for r in self.rules if r.ranges is not None for item in r.items)
        ruled = [replace(choice, of=item, ruled=True) for item, choice in rules]
        return (*(c for c in given if c.of is None), *ruled, *(c for c in given if c.of is not None))


AnyRun = TypeVar("AnyRun", bound=RunOptions)
NOT_IN_RECIPES = ("recipe", "threads", "stats")


def with_recipe(options: AnyRun) -> AnyRun:
    """The options with those of their recipe, where a call gives none; of the recipe, the rules are left.

    Raises:
        UsageError: it is no recipe, or one for another call.
    """
    return options if options.recipe is None else _with_options_of(options, recipe_of(options.recipe))


def _with_options_of(options: AnyRun, recipe: Recipe) -> AnyRun:
    """The same; checked."""
    known = {f.name: f for f in fields(options) if flag_of(f).reported and f.name not in NOT_IN_RECIPES}
    require_known(recipe.options, known, f"recipe, options for {type(options).__name__.removesuffix('Options').lower()}")
    free = [name for name in recipe.options if is_default(options, known[name])]
    values = {name: recipe.options[name] for name in free}
    found = replace(options, recipe=Recipe(rules=recipe.rules), **values)
    found.check()
    return found


def recipe_of_run(options: RunOptions, more: Sequence[RecipeRule] = ()) -> Recipe:
    """The recipe that makes the same of the same model and samples.

    Args:
        options: of the run, with those of its recipe.
        more: rules for what the run found out by itself.
    """
    left_out = (*NOT_IN_RECIPES, *REPLACED)
    chosen = [f for f in fields(options) if flag_of(f).reported and f.name not in left_out and not is_default(options, f)]
    values = {f.name: getattr(options, f.name) for f in chosen}
    values |= {name: list(numbers(values[name])) for name in ("mean", "std") if name in values}
    return Recipe(values, (*options.rules, *more))


def _all_text(value: object, also: type = str) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str | also) for v in value)
