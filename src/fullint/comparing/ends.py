"""Inputs and outputs of two models that belong together: by name and size, else by size and order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fullint.comparing.matching import plain_name
from fullint.documents import many
from fullint.errors import UsageError
from fullint.model.ir import Array, Model, Tensor
from fullint.model.numerics import RANGES, representable
from fullint.model.ranges import Range
from fullint.verification.kernel_outputs import integer_inputs


def _same_name(a: Tensor, b: Tensor) -> bool:
    return plain_name(a) == plain_name(b) and a.size == b.size


def _same_size(a: Tensor, b: Tensor) -> bool:
    return a.size == b.size


ALIKE_ENDS: tuple[Callable[[Tensor, Tensor], bool], ...] = (_same_name, _same_size)


@dataclass(frozen=True, eq=False)
class PairedEnds:
    """Inputs and outputs of a float and an integer model.

    Attributes:
        exact, integer: the models.
        inputs: (place in the float model, place in the integer one) in the order of the integer model's inputs.
        outputs: the same of outputs.
    """

    exact: Model
    integer: Model
    inputs: tuple[tuple[int, int], ...]
    outputs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, exact: Model, integer: Model) -> PairedEnds:
        """Pair them.

        Raises:
            UsageError: one has no counterpart.
        """
        inputs = _paired("input", exact.main.inputs, integer.main.inputs)
        outputs = _paired("output", exact.main.outputs, integer.main.outputs)
        return cls(exact, integer, inputs, outputs)

    def tensors(self) -> list[tuple[Tensor, Tensor]]:
        """The inputs as pairs (float, integer), in the order of the float model."""
        return [(self.exact.main.inputs[a], self.integer.main.inputs[b]) for a, b in sorted(self.inputs)]

    def converted(self, sample: Sequence[Array]) -> list[Array]:
        """A sample of the float model for the integer one."""
        given = [self.exact.main.inputs[a] for a, _ in self.inputs]
        return integer_inputs(self.integer, [sample[a] for a, _ in self.inputs], given)

    def spans(self) -> list[Range | None]:
        """What each input of the float model may hold, as far as the integer model's can represent it."""
        return [_span(b) for _, b in self.tensors()]


def _paired(what: str, exact: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[tuple[int, int], ...]:
    if len(exact) != len(other):
        said = f"the float model has {many(len(exact), what)}, the integer model {len(other)}"
        raise UsageError(f"{said}: they are different models")
    left = [*range(len(exact))]
    found: dict[int, int] = {}
    for rule in ALIKE_ENDS:
        for j, b in enumerate(other):
            i = next((i for i in left if rule(exact[i], b)), None) if j not in found else None
            if i is not None:
                left.remove(i)
                found[j] = i
    if left:
        t = exact[left[0]]
        raise UsageError(f'{what} "{t.name}" {list(t.shape)} of the float model has no counterpart: they are different models')
    return tuple((found[j], j) for j in range(len(other)))


def sizes_given(exact: Model, integer: Model) -> dict[str | None, tuple[int, ...]]:
    """Shapes of the inputs that the float model leaves open beyond the batch, by name: those of the integer model's.

    Raises:
        UsageError: the integer model leaves them open, too, or fits nowhere.
    """
    others = integer.main.inputs
    open_ends = [t for t in (*exact.main.inputs, *others) if any(n < 0 for n in (t.shape_signature or ())[1:])]
    found: dict[str | None, tuple[int, ...]] = {}
    for t in open_ends:
        named = [o for o in others if plain_name(o) == plain_name(t)]
        same = named or [o for i, o in zip(exact.main.inputs, others, strict=False) if i is t]
        if not same or same[0] in open_ends:
            raise UsageError(
                f'input "{t.name}" has open dimensions {list(t.shape_signature or ())}, and the integer model does not fix them: '
                "quantize with --shape"
            )
        found[t.name] = same[0].shape
    return found


def _span(t: Tensor) -> Range | None:
    quantized = t.quant is not None and t.quant.scale.size == 1 and t.dtype in RANGES
    return representable(t.quant, t.dtype) if quantized and t.quant is not None else None
