"""Forms of a run: what may be done otherwise without another model coming of it, or slower operators.

Form()                       what `quantize` does by itself
Form(equalized=False)        the same, but channels keep their sizes
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fullint.model.ir import Tensor


@dataclass(frozen=True)
class Form:
    """How a run goes from ranges to codes.

    Attributes:
        equalized: whether channels are brought to one size.
        trust: how many times as many samples as there are the margin for unseen values is made for.
        rounded: whether weights are rounded for what they read; otherwise to the nearest code.
        narrow: tensors that get the range of the least squared error.
    """

    equalized: bool = True
    trust: float = 1.0
    rounded: bool = True
    narrow: AbstractSet[Tensor] = frozenset()


AS_USUAL = Form()
