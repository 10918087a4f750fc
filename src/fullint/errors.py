"""Everything fullint refuses, as exceptions.

Each exception carries the exit code of the command line: 1 when the contract cannot be met
(the model is fine, but it cannot be made all integer), 2 when the request or a file is bad.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FullintError(Exception):
    """Base of every error fullint raises on purpose."""

    exit_code = 2


class UsageError(FullintError):
    """The options contradict each other, or one is missing."""


class ModelFormatError(FullintError):
    """The file is not a readable TFLite model: truncated, damaged or not one at all."""


class SamplesError(FullintError):
    """The representative samples do not fit the model, or hold values that are not numbers."""


class RuntimeFailure(FullintError):
    """The runtime refused the model, or crashed on it (in a process of its own)."""

    def __init__(self, message: str, *, crashed: bool = False) -> None:
        super().__init__(message)
        self.crashed = crashed


class OutputExistsError(FullintError):
    """The output file is there already and `force` was not given."""


@dataclass(frozen=True)
class Blocker:
    """One operator that cannot be made integer.

    Attributes:
        graph: index of the subgraph.
        index: index of the operator in the file as it was given.
        kind: TFLite's name of the operator.
        output: name of its first output tensor.
        cause: why it cannot be integer.
        way_out: what the user can do about it.
    """

    graph: int
    index: int
    kind: str
    output: str
    cause: str
    way_out: str

    def __str__(self) -> str:
        where = f"op {self.index}" if not self.graph else f"subgraph {self.graph} op {self.index}"
        return f'{where} {self.kind} "{self.output}": {self.cause}\n    try: {self.way_out}'


class NotIntegerError(FullintError):
    """Some operators cannot be made integer; `blockers` names each."""

    exit_code = 1

    def __init__(self, blockers: Sequence[Blocker]) -> None:
        self.blockers = tuple(blockers)
        count = len(self.blockers)
        head = f"{count} operator{'s' if count != 1 else ''} cannot be made integer"
        super().__init__("\n".join([head, *(f"  {b}" for b in self.blockers)]))


class VerificationError(FullintError):
    """The result broke one of its own rules; nothing is written. Each line is one broken rule."""

    exit_code = 1

    def __init__(self, problems: Sequence[str], what: str = "the result failed verification") -> None:
        self.problems = tuple(problems)
        shown = [*self.problems[:20], *([f"and {len(self.problems) - 20} more"] if len(self.problems) > 20 else [])]
        super().__init__(what + "\n  " + "\n  ".join(shown))


class AccuracyError(FullintError):
    """The result is all integer, but too far from the float model (`min_sqnr`)."""

    exit_code = 1


class LogFormatError(FullintError):
    """A benchmark log that cannot be read; the message has the line's number."""


class DelegationError(FullintError):
    """A delegate takes less than the whole model, and the whole was asked for."""

    exit_code = 1


class ConversionError(FullintError):
    """The tool that makes a float `.tflite` of a framework's model fails on it, or makes something else."""


class SetupError(FullintError):
    """The environment of a front end cannot be made."""
