"""What assignment decides, as one value: how every tensor and operand is encoded, and where requantizes go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fullint.model.ir import Array, Graph, Op, Quant, Tensor
from fullint.model.weights import WeightSpec
from fullint.ops import OpRow

Operand = tuple[Op, int]
"""An operator's input."""


@dataclass(frozen=True)
class Encoding:
    """What stands for real numbers in the integer model.

    Attributes:
        dtype: element type of the codes.
        quant: their scale and zero point.
        narrow: whether the smallest code is left out, as it is of weights.
    """

    dtype: str
    quant: Quant
    narrow: bool = False

    def __str__(self) -> str:
        return f"{self.dtype} {self.quant}"


@dataclass(frozen=True)
class Cut:
    """An input that needs another encoding than its tensor has: a requantize goes there."""

    op: Op
    input: int
    why: str

    @property
    def where(self) -> str:
        """Name of what the operator writes."""
        return self.op.output_name


@dataclass(frozen=True)
class Assignment:
    """The encoding of every float value of a model.

    Attributes:
        encodings: of activations by tensor; of one operator's input where it differs from that: weights, biases and
            constants, of which each consumer gets a copy of its own, and cuts.
        default_type: element type of the model's inputs and outputs.
        intermediates: encodings of an operator's intermediate tensors, in their order.
        returns: graph -> its RETURN.
        tables: values of a look-up's function at each code of its input, float32 [256] or [65536].
        cuts: the requantizes, with their reasons.
        notes: scales that had to be raised and the like, in sentences.
    """

    encodings: Mapping[Tensor | Operand, Encoding]
    default_type: str = "int8"
    intermediates: Mapping[Op, tuple[Encoding, ...]] = field(default_factory=dict)
    returns: Mapping[Graph, Op] = field(default_factory=dict)
    tables: Mapping[Op, Array] = field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, op: Op, index: int) -> Encoding | None:
        """The encoding in which an operator reads its input; None where that is no float value."""
        tensor = op.input(index)
        own = self.encodings.get((op, index))
        return own if own is not None or tensor is None else self.encodings.get(tensor)

    def tensors(self) -> dict[Tensor, Encoding]:
        """The encodings of activations, by tensor."""
        return {key: e for key, e in self.encodings.items() if isinstance(key, Tensor)}

    def operands(self) -> dict[Operand, Encoding]:
        """The inputs that are encoded otherwise than their tensor."""
        return {key: e for key, e in self.encodings.items() if not isinstance(key, Tensor)}

    def __str__(self) -> str:
        """One line for each activation, operand, cut and note."""
        lines = [f"{t.name}: {e}" for t, e in self.tensors().items()]
        lines += [f'{op.kind} "{op.output_name}" input {i}: {e}' for (op, i), e in self.operands().items()]
        lines += [f'requantize before {c.op.kind} "{c.where}" input {c.input}: {c.why}' for c in self.cuts]
        return "\n".join([*lines, *self.notes])

    def __repr__(self) -> str:
        return f"Assignment({len(self.encodings)} encodings, {len(self.cuts)} cuts)"


@dataclass(frozen=True)
class Granularity:
    """Which weights are quantized per output channel.

    Attributes:
        per_tensor: none.
        dense_per_tensor: those of FULLY_CONNECTED are not.
        chosen: of single operators, whether they have one scale per tensor.
    """

    per_tensor: bool = False
    dense_per_tensor: bool = False
    chosen: Mapping[Op, bool] = field(default_factory=dict)

    def spec(self, row: OpRow, op: Op, *, constant: bool = True) -> WeightSpec:
        """The form of an operator's weights; those that are no constant have one scale."""
        whole = self.per_tensor or (self.dense_per_tensor and row.kind == "FULLY_CONNECTED")
        return WeightSpec.along(None if self.chosen.get(op, whole) or not constant else row.axis)
