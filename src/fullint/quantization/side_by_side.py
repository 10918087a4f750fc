"""The float and the integer model run piece by piece on the same samples, one operator with weights after the other.

    float    x --> x_f --CONV_2D--> ... --> x_f --DEPTHWISE_CONV_2D--> ...
                    |                        |
    integer  x --> x_q --CONV_2D'--> ... --> x_q --DEPTHWISE_CONV_2D'--> ...       ' with the weights and bias it was just given

Each model has a process of its own, so that both run at the same time.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from fullint.model.ir import Array, Model, Op, Tensor
from fullint.ops import ROWS
from fullint.passes.as_trained import Rounding, as_trained, rounded_values
from fullint.quantization.patches import Patches, TapMeans
from fullint.quantization.pieces import GraphPiece, cut
from fullint.runtime.messages import Advance, Look, Put
from fullint.runtime.process import WorkerProcess, model_file


@dataclass(frozen=True, eq=False)
class Pair:
    """An operator with weights in both models.

    Attributes:
        exact: in the float model.
        integer: in the integer model.
    """

    exact: Op
    integer: Op


def data_of(op: Op) -> Tensor:
    """What an operator with weights multiplies."""
    t = op.input(ROWS[op.kind].data)
    assert t is not None
    return t


def weights_of(op: Op) -> Tensor:
    """The constant that it multiplies with."""
    t = op.input(ROWS[op.kind].weight or 0)
    assert t is not None
    return t


class SteppedModel:
    """One of the models.

    Args:
        model: its main graph is cut.
        cuts: operators before which it is cut.
        worker: a process of its own.
        samples: what its inputs get, one list in graph input order for each sample.
        threads: of the runtime.
        rounding: how the float model was trained to round.
    """

    def __init__(
        self,
        model: Model,
        cuts: Sequence[Op],
        worker: WorkerProcess,
        samples: Sequence[Sequence[Array]],
        threads: int,
        rounding: Rounding | None = None,
    ) -> None:
        self.model, self.worker, self.threads, self.rounding = model, worker, threads, rounding or {}
        self.keys: dict[Tensor, int] = {}
        self.pieces: Iterator[GraphPiece] = iter(cut(model.main, cuts, {data_of(op) for op in cuts[-1:]}))
        self.running: deque[contextlib.ExitStack] = deque()
        """Files of the pieces whose end has not been waited for."""
        self.cuts = list(cuts)
        self.ahead = 0
        """Pieces that are under way before `advance` is called for them."""
        self.given = False
        """Whether the worker has said that it has the samples."""
        inputs = [(t, self.rounding.get(t)) for t in model.main.inputs]
        worker.send(Put({self._key(t): [rounded_values(s[i], by) for s in samples] for i, (t, by) in enumerate(inputs)}))

    def _key(self, t: Tensor) -> int:
        return self.keys.setdefault(t, len(self.keys))

    def run_ahead(self) -> None:
        """Run the first piece, with its own operators, before it is asked for."""
        self.advance({})
        self.ahead += 1

    def advance(self, instead: Mapping[Op, Op]) -> None:
        """Run the next piece, with some operators in the place of others; `wait` for its end.

        Several may be under way: they are run one after the other, and what is asked between them is answered between them.
        """
        if self.ahead:
            self.ahead -= 1
            return
        piece = next(self.pieces)
        piece = replace(piece, ops=tuple(instead.get(op, op) for op in piece.ops))
        takes, gives, drops = ([self._key(t) for t in group] for group in (piece.takes, piece.gives, piece.drops))
        files = contextlib.ExitStack()
        path = files.enter_context(model_file(as_trained(piece.model(self.model.version), self.rounding)))
        self.running.append(files)
        self.worker.send(Advance(path, takes, gives, drops, self.threads))

    def wait(self) -> None:
        """Wait until the first of the pieces under way has been run."""
        with self.running.popleft():
            if not self.given:
                self.worker.receive(Put)
                self.given = True
            self.worker.receive(Advance)

    def end(self) -> None:
        """Wait for the pieces that are under way."""
        while self.running:
            self.wait()

    def ask(self, op: Op, function: Patches | TapMeans) -> None:
        """Ask for something of what an operator multiplies, once the pieces under way have been run; `answer` gives it."""
        self.worker.send(Look(self._key(data_of(op)), function))

    def answer(self) -> Array:
        """What was asked for first."""
        found: Array = self.worker.receive(Look)
        return found
