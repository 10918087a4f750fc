"""What became of a job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class JobOutcome:
    """One job's end.

    Attributes:
        models: paths.
        output: path of the result, or None.
        status: "done", "kept" (an earlier run had done it), "failed" (a reason is given) or "crashed" (its process ended).
        exit_code: that the command would have had: 0, 1 (contract not met, or findings) or 2 (bad use or bad input).
        seconds: wall time.
        figures: of the report, such as `sqnr_db`; what each command has is in docs/fleets.md.
        message: why it failed, or the first warning.
    """

    models: tuple[str, ...]
    output: str | None
    status: str
    exit_code: int
    seconds: float
    figures: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of_plain(cls, given: Mapping[str, Any]) -> JobOutcome:
        """What `plain` has made."""
        return cls(**{**given, "models": tuple(given["models"])})
