"""Whether LiteRT refuses an operator as it is in the file.

A fix that changes what a working operator computes is for the user to ask for. One that LiteRT refuses computes nothing, so
there is nothing to lose: each such operator is run by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fullint.errors import RuntimeFailure
from fullint.model.ir import NUMPY_TYPES, Graph, Model, Op
from fullint.runtime.messages import Open, Run
from fullint.runtime.process import WorkerProcess, model_file


def refused_by_runtime(ops: Iterable[Op]) -> set[Op]:
    """The operators that LiteRT does not run by themselves, with XNNPACK or without."""
    found: set[Op] = set()
    wanted = [op for op in ops if not any(op.subgraphs())]
    if not wanted:
        return found
    with WorkerProcess("the operator") as worker:
        for op in wanted:
            inputs = list(dict.fromkeys(t for t in op.inputs if t is not None and not t.is_constant and not t.is_variable))
            graph = Graph("alone", [], inputs, list(op.outputs), [op])
            graph.sync_tensors()
            try:
                with model_file(Model([graph])) as path:
                    for kernels in ("xnnpack", "builtin"):
                        worker.call(Open(path, kernels, 1))
                        worker.call(Run([np.zeros(t.shape, NUMPY_TYPES[t.dtype]) for t in inputs]))
            except RuntimeFailure as e:
                found.add(op)
                if e.crashed:
                    worker.restart()
    return found
