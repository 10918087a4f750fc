"""The exceptions that fullint raises on purpose.

Each carries the exit code of the command line: 1 when the contract cannot be met (the model is valid, but cannot be
made all integer), 2 when an option or a file is invalid.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class FullintError(Exception):
    """Base of every error fullint raises on purpose."""

    exit_code = 2


class UsageError(FullintError):
    """An option is missing or invalid, or options contradict each other."""


class ModelFormatError(FullintError):
    """The file is not a readable TFLite model: truncated, damaged, or of another format."""


class SamplesError(FullintError):
    """The representative samples do not match the model's inputs, or contain NaN or infinity."""


class RuntimeFailure(FullintError):
    """The runtime rejected the model, or crashed on it (in a child process: `crashed`).

    Attributes:
        crashed: whether the process ended.
        sample: the number of the sample that it was running, and its arrays, where it was given several.
    """

    def __init__(self, message: str, *, crashed: bool = False, sample: tuple[int, Sequence[Any]] | None = None) -> None:
        super().__init__(message)
        self.crashed = crashed
        self.sample = sample


class OutputExistsError(FullintError):
    """The output file already exists, and `force` was not given."""


@dataclass(frozen=True)
class Blocker:
    """One operator that cannot be made integer.

    Attributes:
        graph: index of the subgraph.
        index: index of the operator in the input file.
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
    """Some operators cannot be made integer, or not in a form that the target runs; `blockers` lists them."""

    exit_code = 1

    def __init__(self, blockers: Sequence[Blocker], target: str = "") -> None:
        self.blockers = tuple(blockers)
        count = len(self.blockers)
        head = f"{count} operator{'s' if count != 1 else ''} cannot be made integer"
        if target:
            head += f" in a form that {target} runs, which runs a model as a whole or not at all"
        super().__init__("\n".join([head, *(f"  {b}" for b in self.blockers)]))


class VerificationError(FullintError):
    """The result breaks the all-integer contract; nothing is written. `problems` has one line per broken rule."""

    exit_code = 1

    def __init__(self, problems: Sequence[str], what: str = "the result failed verification") -> None:
        self.problems = tuple(problems)
        shown = [*self.problems[:20], *([f"and {len(self.problems) - 20} more"] if len(self.problems) > 20 else [])]
        super().__init__(what + "\n  " + "\n  ".join(shown))


class AccuracyError(FullintError):
    """The result is all integer, but not accurate enough (`min_sqnr`), or a part of an output is lost.

    Attributes:
        lost: names of all lost parts, as `allow_lost` takes them.
    """

    exit_code = 1

    def __init__(self, text: str, lost: Sequence[str] = ()) -> None:
        self.lost = tuple(lost)
        super().__init__(text)


class LogFormatError(FullintError):
    """A benchmark log that cannot be parsed; the message gives the line number."""


class DelegationError(FullintError):
    """Full delegation was required, but the delegate leaves some operators to the CPU."""

    exit_code = 1


class ConversionError(FullintError):
    """The conversion of a framework's model to a float `.tflite` failed, or its result computes something else."""


class SetupError(FullintError):
    """The virtual environment of a front end could not be created."""


TRACEBACK = "FULLINT_TRACEBACK"
"""The variable that asks for the traceback of a failure that nobody foresaw."""


def message_of(error: Exception) -> str:
    """What a user is told of an error.

    Raises:
        Exception: the error itself, where nobody foresaw it, and its traceback is asked for.
    """
    if isinstance(error, FullintError):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    if isinstance(error, MemoryError):
        return f"there is not enough memory for this: {error}"
    if os.environ.get(TRACEBACK):
        raise error
    return f"fullint itself failed ({type(error).__name__}: {error}); {TRACEBACK}=1 shows where, please report it"
