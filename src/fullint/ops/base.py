"""What one row of the op table says.

A row is the whole truth about one operator in int8: the role of each operand, where the output's
scale comes from, the operator version to stamp, and on which kernel set it is absent or wrong.
Assignment, rewriting, verification and the reports all read rows; none knows an operator by name
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from fullint.model.ir import Op, Quant, Tensor
from fullint.ops.traits import UNKNOWN, Traits

KERNEL_SETS = ("xnnpack", "builtin", "reference")
"""LiteRT's default kernels (XNNPACK delegate over optimized ones), those without a delegate, and the
reference implementations."""


class Role(Enum):
    """What an operand is to the quantizer."""

    OWN = "own"  # an activation or a constant with its own scale and zero point
    SAME = "same"  # shares scale and zero point with the row's other SAME operands and outputs
    WEIGHT = "weight"  # a constant: int8 in [-127, 127], zero point 0, per channel along `axis`
    BIAS = "bias"  # a constant: int32, scale = input scale * weight scale
    RAW = "raw"  # integers or booleans that stay as they are: indices, shapes, conditions
    ANY = "any"  # read for its shape only; any type will do
    TIED = "tied"  # flows into a value that other graphs or runs see, and has its parameters (see control)
    DERIVED = "derived"  # the row's `derive` says its type and parameters: weights and state of recurrent operators


@dataclass(frozen=True)
class Observed:
    """The output's range is measured while calibrating."""


@dataclass(frozen=True)
class Fixed:
    """The kernel demands these parameters of its output."""

    scale: float
    zero_point: int

    @property
    def quant(self) -> Quant:
        """The demanded int8 parameters."""
        return Quant.of(self.scale, self.zero_point)

    def of_type(self, dtype: str) -> Quant:
        """The demanded parameters of an output of another type: int16 has 1/32768 wherever int8 has a fixed scale."""
        return Quant.of(1 / 32768, 0) if dtype == "int16" else self.quant


@dataclass(frozen=True)
class Same:
    """The output has the parameters of the SAME inputs."""


@dataclass(frozen=True)
class Raw:
    """The output holds integers or booleans."""


@dataclass(frozen=True)
class Tied:
    """The output is a value that other graphs or runs see (see control)."""


Output = Observed | Fixed | Same | Raw | Tied


@dataclass(frozen=True)
class Given:
    """What a `derive` is told: parameters of the data, the output, and the largest value of each state.

    Attributes:
        inputs: parameters of the operands that have some, by position.
        output: parameters of the first output.
        state: largest absolute value measured of each variable operand, by position.
    """

    inputs: Mapping[int, Quant]
    output: Quant
    state: Mapping[int, float]


@dataclass(frozen=True)
class Derived:
    """What a `derive` says: (type, parameters) of operands by position, and of intermediates in order."""

    operands: Mapping[int, tuple[str, Quant]]
    intermediates: tuple[tuple[str, Quant], ...] = ()


@dataclass(frozen=True)
class Fault:
    """A kernel set that lacks an operator (`absent`), or computes it wrongly, and how that is known."""

    what: str
    absent: bool = False
    when: Callable[[Op], bool] = lambda op: True


@dataclass(frozen=True)
class OpRow:
    """One operator in int8.

    Attributes:
        kind: TFLite's name.
        inputs: the role of each input; the last one repeats for operators of any number of inputs.
        outputs: where each output's parameters come from; the last one repeats.
        version: operator version in int8, or a function of the int8 operator.
        source: the kernel that makes the row true, in LiteRT's tree.
        because: the one thing to know about it.
        axis: dimension of the weights that channels run along.
        weight, bias, data: positions of those operands, for operators that have weights.
        fuses: activations the int8 kernel can apply to its output.
        faults: kernel sets that lack it or get it wrong.
        refuses: why an operator of this kind cannot be int8 after all, or None.
        limits: why the kernel would refuse or abort on the scales an int8 operator has, or None.
        saturates: input size beyond which the output does not change by half its step; such values
            get no codes of their own.
        steps: how far, in output steps, an int8 kernel may be from the rounded float result.
        int16: operator version with int16 activations, 0 where no kernel takes them.
        int16_faults: the same as `faults`, with int16 activations.
        derive: type and parameters of DERIVED operands.
        demands_bias: whether the kernel refuses to go without one.
        depthwise: whether each output channel reads one input channel only.
        converts_types: whether its input and output may have different types.
        traits: what its function is like, whatever computes it.
    """

    kind: str
    inputs: tuple[Role, ...]
    outputs: tuple[Output, ...]
    version: int | Callable[[Op], int]
    source: str
    because: str = ""
    axis: int | None = None
    weight: int | None = None
    bias: int | None = None
    data: int = 0
    fuses: tuple[str, ...] = ()
    faults: Mapping[str, Fault] = field(default_factory=dict)
    refuses: Callable[[Op], str | None] = lambda op: None
    limits: Callable[[Op], str | None] = lambda op: None
    saturates: float | None = None
    steps: int = 1
    int16: int = 0
    int16_faults: Mapping[str, Fault] = field(default_factory=dict)
    derive: Callable[[Op, Given], Derived] | None = None
    demands_bias: bool = False
    depthwise: bool = False
    converts_types: bool = False
    traits: Traits = UNKNOWN

    def role(self, index: int) -> Role:
        """Role of input `index`."""
        return self.inputs[min(index, len(self.inputs) - 1)]

    def output(self, index: int) -> Output:
        """Where output `index` takes its parameters from."""
        return self.outputs[min(index, len(self.outputs) - 1)]

    def version_of(self, op: Op) -> int:
        """The version to stamp on an int8 or int16 operator."""
        int8 = self.version(op) if callable(self.version) else self.version
        return max(int8, self.int16) if is_wide(op) else int8

    def fault(self, op: Op, kernels: str) -> Fault | None:
        """The fault of a kernel set that this operator meets, if any."""
        found = self.faults.get(kernels)
        if is_wide(op) and not (found and found.absent):  # what is not registered is so for every type
            found = self.int16_faults.get(kernels)
        return found if found and found.when(op) else None


def is_wide(op: Op) -> bool:
    """Whether an integer operator computes on int16 activations."""
    return any(t.dtype == "int16" and t.quant is not None for t in op.outputs) or any(
        t is not None and t.dtype == "int16" and t.quant is not None and not t.is_variable and not t.is_constant
        for t in op.inputs
    )


def static(*positions: int) -> Callable[[Op], str | None]:
    """A `refuses` that demands constants at these inputs."""

    def refuse(op: Op) -> str | None:
        for i in positions:
            t = op.input(i)
            if t is not None and not t.is_constant:
                return f'its input {i} "{t.name}" is computed at run time; fullint takes a constant there so far'
        return None

    return refuse


def scale_ratio(most: float) -> Callable[[Op], str | None]:
    """A `limits` on how much coarser an input's scale may be than the output's."""

    def limit(op: Op) -> str | None:
        out = op.outputs[0].quant
        for t in op.inputs:
            if t is not None and t.quant is not None and out is not None:
                ratio = float(t.quant.scale[0]) / float(out.scale[0])
                if not ratio < most:
                    return f'the scale of "{t.name}" is {ratio:.3g} times the output\'s, the kernel takes less than {most:g}'
        return None

    return limit


def product_ratio(most: float) -> Callable[[Op], str | None]:
    """A `limits` on input scale * weight scale against the output's: XNNPACK fails to build beyond it."""

    def limit(op: Op) -> str | None:
        quants = [t.quant for t in op.inputs if t is not None and t.quant is not None and t.dtype == "int8"]
        out = op.outputs[0].quant
        if len(quants) == 2 and out is not None:
            ratio = float(quants[0].scale.max()) * float(quants[1].scale.max()) / float(out.scale[0])
            if not ratio < most:
                return f"input scale * weight scale is {ratio:.3g} times the output's, XNNPACK takes less than {most:g}"
        return None

    return limit


def scale_below(most: float) -> Callable[[Op], str | None]:
    """A `limits` on the scale of the inputs themselves."""

    def limit(op: Op) -> str | None:
        for t in op.inputs:
            if t is not None and t.quant is not None and not float(t.quant.scale[0]) < most:
                return f'the scale of "{t.name}" is {float(t.quant.scale[0]):.3g}, the kernel takes less than {most:g}'
        return None

    return limit


def rank(op: Op, index: int = 0) -> int:
    """Rank of an input, 0 where it is absent."""
    t = op.input(index)
    return len(t.shape) if t is not None else 0


CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


CODES = ("int8", "uint8", "int16", "int4")
"""Element types that stand for real numbers where they have a scale."""


def codes(t: Tensor | None) -> bool:
    """Whether a tensor's integers stand for real numbers."""
    return t is not None and t.dtype in CODES and t.quant is not None and t.quant.scale.size > 0
