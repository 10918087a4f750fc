"""Both models run on samples, side by side.

float model      |  sample 0   sample 1   ...
integer model    |  sample 0   sample 1   ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fullint.comparing.ends import PairedEnds
from fullint.model.ir import Array
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file

MODELS = ("the float model", "the integer model")

BothOutputs = tuple[list[Array], list[Array]]
"""What the float model gave for a sample, and what the integer one gave."""


def pairs_here(
    first: WorkerProcess, second: WorkerProcess, ends: PairedEnds, samples: Iterable[list[Array]]
) -> Iterator[BothOutputs]:
    """Run both models on each sample.

    Args:
        first, second: idle processes for the float and the integer model.
        ends: the models.
        samples: of the float model.

    Raises:
        RuntimeFailure: one of the models does not run.
    """
    with model_file(ends.exact) as one, model_file(ends.integer) as two:
        first.call(Open(one, "xnnpack", 1))
        second.call(Open(two, "xnnpack", 1))
        for sample in samples:
            second.send(Run(ends.converted(sample)))
            yield first.call(Run(sample)), second.receive(Run)
