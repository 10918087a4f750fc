"""Signatures that name tensors which their graph does not return.

    graph -> a                                     graph -> a, b
    signature: "x" = a, "y" = b         =>         signature: "x" = a, "y" = b

LiteRT hands out what lies at "y" after a run, which is right as long as nothing else was put there. Inputs cannot be added:
nothing in the graph would read them.
"""

from __future__ import annotations

from fullint.errors import ModelFormatError
from fullint.model.ir import Graph, Model, Signature
from fullint.reporting import Change


def outputs_of_signatures(model: Model) -> list[Change]:
    """Add what signatures name to the outputs of their graphs, in place.

    Raises:
        ModelFormatError: a signature names an input that is none, or an output that nothing makes.
    """
    changes = []
    for signature in model.signatures:
        graph = signature.graph
        _require_known(signature, graph)
        for name, t in signature.outputs:
            if t not in graph.outputs:
                graph.outputs.append(t)
                why = f'made an output of the graph, since signature "{signature.key}" returns it as "{name}"'
                changes.append(Change("outputs_of_signatures", -1, "OUTPUT", t.name, why))
    return changes


def _require_known(signature: Signature, graph: Graph) -> None:
    made = {t for op in graph.ops for t in op.outputs}.union(graph.inputs)
    for name, t in signature.inputs:
        if t not in graph.inputs:
            raise ModelFormatError(f'signature "{signature.key}": input "{name}" is tensor "{t.name}", which is no input')
    for name, t in signature.outputs:
        if t not in made and t.buffer is None:
            raise ModelFormatError(f'signature "{signature.key}": output "{name}" is tensor "{t.name}", which nothing makes')
