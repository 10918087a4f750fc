"""What assignment decides, as values: parameters, requantizes, element types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fullint.model.ir import Array, Op, Quant, Tensor
from fullint.ops import OpRow


@dataclass(frozen=True)
class Cut:
    """An input that needs other parameters than its tensor has: a requantize goes there."""

    op: Op
    input: int
    why: str

    @property
    def where(self) -> str:
        """Name of what the operator writes."""
        return self.op.output_name


@dataclass
class Assignment:
    """Parameters of every float tensor of a model.

    Attributes:
        params: activations, and constants used like activations where one value serves all readers.
        operand: parameters of one (operator, input) where they differ from `params`: cuts, weights,
            biases and constants, which each consumer gets its own copy of.
        default_type: element type of the model's inputs and outputs.
        types: element type of activations that are not int8.
        op_types: type of the activations an operator reads and writes, where it is not int8.
        operand_types: element type of one (operator, input) where its role does not say it.
        tied_types: element type of (operator, input) pairs that flow into a value other graphs see.
        intermediates: parameters of an operator's intermediate tensors, in their order.
        returns: graph -> its RETURN.
        tables: values of a look-up's function at each code of its input, float32 [256] or [65536].
        cuts: the requantizes, with their reasons.
        notes: scales that had to be raised and the like, in sentences.
    """

    params: dict[Tensor, Quant] = field(default_factory=dict)
    operand: dict[tuple[Op, int], Quant] = field(default_factory=dict)
    default_type: str = "int8"
    types: dict[Tensor, str] = field(default_factory=dict)
    op_types: dict[Op, str] = field(default_factory=dict)
    operand_types: dict[tuple[Op, int], str] = field(default_factory=dict)
    tied_types: dict[tuple[Op, int], str] = field(default_factory=dict)
    intermediates: dict[Op, list[tuple[str, Quant]]] = field(default_factory=dict)
    returns: dict[object, Op] = field(default_factory=dict)
    tables: Mapping[Op, Array] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, op: Op, index: int) -> Quant | None:
        """Parameters in which an operator reads its input."""
        tensor = op.input(index)
        return self.operand.get((op, index)) or (self.params.get(tensor) if tensor is not None else None)

    def type_of(self, tensor: Tensor) -> str:
        """Element type of an activation."""
        return self.types.get(tensor, "int8")

    def op_type(self, op: Op) -> str:
        """Element type an operator's activations have."""
        return self.op_types.get(op, "int8")

    def __str__(self) -> str:
        lines = [f"{t.name}: {self.types.get(t, '')}{' ' if t in self.types else ''}{q}" for t, q in self.params.items()]
        lines += [f'cut before {c.op.kind} "{c.where}" input {c.input}: {c.why}' for c in self.cuts]
        return "\n".join([*lines, *self.notes])


@dataclass(frozen=True)
class Granularity:
    """Which weights are quantized per output channel."""

    per_tensor: bool = False
    dense_per_tensor: bool = False

    def axis(self, row: OpRow) -> int | None:
        """The channels' axis, None for one scale per tensor."""
        if self.per_tensor or (self.dense_per_tensor and row.kind == "FULLY_CONNECTED"):
            return None
        return row.axis
