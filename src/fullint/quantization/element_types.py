"""Which element type every activation has, and every operator computes in: int8, but for what is said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fullint.calibration.observed import given_params
from fullint.model.ir import Model, Op, Tensor


@dataclass(frozen=True)
class ElementTypes:
    """Element types of the activations.

    Attributes:
        tensors: activations that are not int8.
        operators: those whose activations are not int8.
    """

    tensors: Mapping[Tensor, str] = field(default_factory=dict)
    operators: Mapping[Op, str] = field(default_factory=dict)

    def of_tensor(self, t: Tensor) -> str:
        """Element type of an activation."""
        return self.tensors.get(t, "int8")

    def of(self, op: Op) -> str:
        """Element type that an operator computes in."""
        return self.operators.get(op, "int8")


def element_types(model: Model, types: Mapping[Op, str], default: str) -> ElementTypes:
    """The element types of a model.

    Args:
        model: prepared.
        types: of operators that do not compute in `default`.
        default: of all others, and of the inputs.
    """
    tensors: dict[Tensor, str] = {}
    operators: dict[Op, str] = {}
    for graph in model.graphs:
        if default != "int8":
            tensors.update((t, default) for t in graph.inputs if t.dtype == "float32")
        for op in graph.ops:
            kind = types.get(op, default)
            if kind != "int8":
                operators[op] = kind
                tensors.update((t, kind) for t in op.outputs if t.dtype == "float32")
            if (given := given_params(op)) is not None:
                tensors[op.outputs[0]] = given[1]
    return ElementTypes(tensors, operators)
