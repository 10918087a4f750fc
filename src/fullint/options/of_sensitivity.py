"""Choices of `sensitivity`: those of `quantize`, whose result is looked into, and what is measured how long."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from fullint.errors import UsageError
from fullint.options.choices import QuantizeOptions
from fullint.options.flags import said

OPERATOR, LAYER = "operator", "layer"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SensitivityOptions(QuantizeOptions):
    """Choices of `fullint.sensitivity`."""

    by: str | int = field(
        default=OPERATOR,
        metadata=said(
            "What is measured as one: operator; layer, by names of outputs up to the last slash; or N, by the first N parts of "
            "names, for blocks.",
            metavar="operator|layer|N",
        ),
    )
    budget: float | None = field(
        default=None,
        metadata=said(
            "Stop measuring after so many seconds: parts of the network are looked into first that are seen to cost most.",
            metavar="SECONDS",
            parse=float,
            shown="until all is measured",
        ),
    )
    worst: int = field(default=10, metadata=said("How many of the worst are tried together.", metavar="N", parse=int))

    def check(self) -> None:
        """Raise UsageError where a value makes no sense."""
        super().check()
        parts = str(self.by)
        if self.by not in (OPERATOR, LAYER) and (isinstance(self.by, bool) or not (parts.isascii() and parts.isdecimal())):
            raise UsageError(f'by must be {OPERATOR}, {LAYER} or a number of parts of a name, not "{self.by}"')
        if self.by not in (OPERATOR, LAYER) and not 1 <= int(self.by) <= 64:
            raise UsageError(f"by must be from 1 to 64 parts of a name, not {self.by}")
        budget = self.budget
        if budget is not None and (isinstance(budget, bool) or not isinstance(budget, int | float) or not 0 < budget < math.inf):
            raise UsageError(f"budget must be a number of seconds above 0, not {budget!r}")
        if isinstance(self.worst, bool) or not isinstance(self.worst, int) or self.worst < 1:
            raise UsageError(f"worst must be an integer of at least 1, not {self.worst!r}")
        if self.mixed is not None:
            raise UsageError("mixed makes choices of its own: measure without it")
