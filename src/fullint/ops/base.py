"""The structure of the op table's rows.

A row is everything fullint knows about one operator in int8: the role of each operand, where the output's scale comes from,
the operator version to write, and which kernel sets lack the operator or compute it wrong. Assignment, rewriting,
verification and reports read rows instead of checking operator names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from fullint.model.ir import Op, Quant, Tensor
from fullint.ops.taps import Taps
from fullint.ops.traits import UNKNOWN, Traits

KERNEL_SETS = ("xnnpack", "builtin", "reference")
"""LiteRT's default kernels (the XNNPACK delegate, else optimized kernels), its kernels without a delegate, and the reference
implementations."""


class Role(Enum):
    """How an operand is quantized."""

    OWN = "own"  # an activation or a constant with its own scale and zero point
    SAME = "same"  # shares scale and zero point with the row's other SAME operands and outputs
    WEIGHT = "weight"  # a constant: int8 in [-127, 127], zero point 0, per channel along `axis`
    BIAS = "bias"  # a constant: int32, scale = input scale * weight scale
    RAW = "raw"  # integers or booleans that are not quantized: indices, shapes, conditions
    ANY = "any"  # only its shape is read, so any type is accepted
    TIED = "tied"  # flows into a value shared with other graphs or runs, and has its parameters (see control_flow)
    DERIVED = "derived"  # type and parameters come from the row's `derive`: weights and state of recurrent operators


@dataclass(frozen=True)
class Observed:
    """The output's range is measured during calibration."""


@dataclass(frozen=True)
class Fixed:
    """The kernel requires these parameters for its output."""

    scale: float
    zero_point: int

    @property
    def quant(self) -> Quant:
        """The required int8 parameters."""
        return Quant.of(self.scale, self.zero_point)

    def of_type(self, dtype: str) -> Quant:
        """The required parameters for an output of type int8 or int16; for int16, the scale is always 1/32768."""
        return Quant.of(1 / 32768, 0) if dtype == "int16" else self.quant


@dataclass(frozen=True)
class Same:
    """The output has the same parameters as the SAME inputs."""


@dataclass(frozen=True)
class Raw:
    """The output consists of integers or booleans that are not quantized."""


@dataclass(frozen=True)
class Tied:
    """The output is a value shared with other graphs or runs (see control_flow)."""


LeastScale = Callable[[Sequence[float], bool], float]
"""(scales of the operands with real values, whether the kernel computes in int16) -> what the output's scale must exceed."""

Output = Observed | Fixed | Same | Raw | Tied


@dataclass(frozen=True)
class Given:
    """The arguments of a row's `derive`.

    Attributes:
        inputs: position -> parameters, for operands that have some.
        output: parameters of the first output.
        state: position -> largest absolute value measured, for variable operands.
    """

    inputs: Mapping[int, Quant]
    output: Quant
    state: Mapping[int, float]


@dataclass(frozen=True)
class Derived:
    """The result of a row's `derive`.

    Attributes:
        operands: position -> (type, parameters) of each derived operand.
        intermediates: (type, parameters) of each intermediate tensor, in order.
    """

    operands: Mapping[int, tuple[str, Quant]]
    intermediates: tuple[tuple[str, Quant], ...] = ()


@dataclass(frozen=True)
class Fault:
    """A known fault of a kernel set.

    Attributes:
        what: the fault, as a sentence.
        absent: whether the kernel set lacks the operator; otherwise, it computes wrong results.
        when: whether the fault affects a given operator.
    """

    what: str
    absent: bool = False
    when: Callable[[Op], bool] = lambda op: True


@dataclass(frozen=True)
class OpRow:
    """One operator in int8.

    Attributes:
        kind: TFLite's name of the operator.
        inputs: the role of each input; the last role repeats for further inputs.
        outputs: where each output's parameters come from; the last one repeats.
        version: operator version in int8, or a function of the int8 operator.
        source: path in LiteRT's source tree of the kernel that the row describes.
        because: the most important thing to know about it, for docs/ops.md.
        more_inputs, more_outputs: whether it may have more of them than roles are listed.
        axis: dimension of the weights that output channels run along.
        weight, bias, data: positions of these operands, for operators with weights.
        fuses: activations that the int8 kernel can apply to its output.
        faults: kernel set -> fault, for kernel sets that lack it or compute it wrong.
        refuses: operator -> why it cannot be int8, or None.
        limits: integer operator -> why the kernel would reject its inputs' scales, or None.
        least_scale: what the output's scale must exceed, given those of the operands; the kernel rejects others, or aborts.
        least_input: operator -> what the scale of its first input must exceed, with int8 activations.
        saturates: absolute input value beyond which the output changes by less than half a step; larger values are clipped.
        int16_saturates: the same for an int16 output, whose steps are finer.
        steps: largest difference, in output steps, between the int8 kernel and the rounded float result.
        int16: operator version with int16 activations, 0 if no kernel supports them.
        int16_faults: the same as `faults`, with int16 activations.
        derive: computes type and parameters of the DERIVED operands.
        demands_bias: whether the kernel requires a bias.
        depthwise: whether each output channel reads only one input channel.
        taps: operator -> what it reads for each of its results, for operators with weights; None where that is not known.
        converts_types: whether its input and output may have different types.
        int32: whether its kernels do the same with plain int32 values in place of its SAME operands.
        traits: mathematical properties of its function.
    """

    kind: str
    inputs: tuple[Role, ...]
    outputs: tuple[Output, ...]
    version: int | Callable[[Op], int]
    source: str
    because: str = ""
    more_inputs: bool = False
    more_outputs: bool = False
    axis: int | None = None
    weight: int | None = None
    bias: int | None = None
    data: int = 0
    fuses: tuple[str, ...] = ()
    faults: Mapping[str, Fault] = field(default_factory=dict)
    refuses: Callable[[Op], str | None] = lambda op: None
    limits: Callable[[Op], str | None] = lambda op: None
    least_scale: LeastScale = lambda scales, wide: 0.0
    least_input: Callable[[Op], float] = lambda op: 0.0
    saturates: float | None = None
    int16_saturates: float | None = None
    steps: int = 1
    int16: int = 0
    int16_faults: Mapping[str, Fault] = field(default_factory=dict)
    derive: Callable[[Op, Given], Derived] | None = None
    demands_bias: bool = False
    depthwise: bool = False
    taps: Callable[[Op], Taps | None] = lambda op: None
    converts_types: bool = False
    int32: bool = False
    traits: Traits = UNKNOWN

    def role(self, index: int) -> Role:
        """The role of the input at a position."""
        return self.inputs[min(index, len(self.inputs) - 1)]

    def output(self, index: int) -> Output:
        """Where the parameters of the output at a position come from."""
        return self.outputs[min(index, len(self.outputs) - 1)]

    def version_of(self, op: Op) -> int:
        """The version to write for an int8 or int16 operator."""
        int8 = self.version(op) if callable(self.version) else self.version
        return max(int8, self.int16) if is_wide(op) else int8

    def limit(self, op: Op) -> str | None:
        """Why the kernel would reject the scales of an integer operator, or abort; None if it does neither."""
        out = plain_scale(op.outputs[0]) if op.outputs else None
        scales = [s for i, t in enumerate(op.inputs) if self.scaled(i) and (s := plain_scale(t)) is not None]
        least = self.least_scale(scales, is_wide(op)) if out is not None and scales else 0.0
        if out is not None and least > 0 and not out > least:
            return f"the scale of its output is {out:.3g}; with those of its inputs, the kernel needs more than {least:.3g}"
        given, needed = plain_scale(op.input(0)), 0.0 if is_wide(op) else self.least_input(op)
        if given is not None and needed > 0 and not given > needed:
            return f"the scale of its input is {given:.3g}; the kernel needs more than {needed:.3g}"
        return self.limits(op)

    def scaled(self, index: int) -> bool:
        """Whether the scale of the input at a position counts for `least_scale`."""
        return self.role(index) in (Role.OWN, Role.WEIGHT)

    def fault(self, op: Op, kernels: str) -> Fault | None:
        """The fault of a kernel set that affects this operator, or None."""
        found = self.faults.get(kernels)
        if is_wide(op) and not (found and found.absent):  # a missing operator is missing for every type
            found = self.int16_faults.get(kernels)
        return found if found and found.when(op) else None


def is_wide(op: Op) -> bool:
    """Whether an integer operator has int16 activations."""
    return any(t.dtype == "int16" and t.quant is not None for t in op.outputs) or any(
        t is not None and t.dtype == "int16" and t.quant is not None and not t.is_variable and not t.is_constant
        for t in op.inputs
    )


def static(*positions: int) -> Callable[[Op], str | None]:
    """A `refuses` that requires constants at these inputs."""

    def refuse(op: Op) -> str | None:
        for i in positions:
            t = op.input(i)
            if t is not None and not t.is_constant:
                return f'its input {i} "{t.name}" is computed at run time; fullint supports only a constant there'
        return None

    return refuse


def above_ratio(most: float, most_int16: float | None = None) -> LeastScale:
    """A `least_scale`: the largest input scale must be less than `most` times the output's."""
    return lambda scales, wide: max(scales) / ((most_int16 or most) if wide else most)


def above_product(most: float) -> LeastScale:
    """A `least_scale`: input scale * weight scale must be less than `most` times the output's, or XNNPACK fails to build.

    XNNPACK does not run int16.
    """
    return lambda scales, wide: 0.0 if wide or len(scales) < 2 else scales[0] * scales[1] / most


def scale_below(most: float) -> Callable[[Op], str | None]:
    """A `limits` on the inputs' scales."""

    def limit(op: Op) -> str | None:
        for t in op.inputs:
            if t is not None and t.quant is not None and not float(t.quant.scale[0]) < most:
                return f'the scale of "{t.name}" is {float(t.quant.scale[0]):.3g}; the kernel supports less than {most:g}'
        return None

    return limit


def rank(op: Op, index: int = 0) -> int:
    """Rank of an input, 0 if it is missing."""
    t = op.input(index)
    return len(t.shape) if t is not None else 0


CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


INTO_INTEGERS = ("QUANTIZE", "CAST")
"""What makes integers of a float input, at the border of a model: codes, or ids."""

CODES = ("int8", "uint8", "int16", "int4")
"""Element types that represent real values if they have a scale."""


def plain_scale(t: Tensor | None) -> float | None:
    """The largest scale of a quantized tensor; None for others."""
    return float(t.quant.scale.max()) if t is not None and codes(t) and t.quant is not None else None


def codes(t: Tensor | None) -> bool:
    """Whether a tensor is quantized: integers with a scale, which represent real values."""
    return t is not None and t.dtype in CODES and t.quant is not None and t.quant.scale.size > 0
