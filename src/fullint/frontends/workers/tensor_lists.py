"""The batch size fixed inside loops that were traced with an open one, as recurrent layers in a SavedModel are.

    TensorListReserve(element_shape=[-1, 32])       =>      TensorListReserve(element_shape=[1, 32])

TensorFlow's converter needs these shapes to be known, and does not derive them from those of the inputs. That the first open size
is the batch is a guess, which the comparison with the original checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

SHAPES = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1, "TensorListGetItem": 2}
"""Operator -> which of its inputs is the shape of an element."""
SUFFIX = "_closed"


def has_tensor_lists(function: Any) -> bool:
    """Whether a concrete function, or one that it calls, has such operators."""
    return any(n.op in SHAPES for n in _nodes(function.graph.as_graph_def()))


def with_closed_lists(function: Any, batch: int) -> Callable[..., Mapping[str, Any]]:
    """A concrete function with named outputs, its variables as constants, and lists whose elements have this batch size."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    names = list(function.structured_outputs)
    order = [tf.nest.flatten(function.structured_outputs).index(function.structured_outputs[n]) for n in names]
    frozen = convert_variables_to_constants_v2(function, lower_control_flow=False)
    graph = frozen.graph.as_graph_def()
    for nodes in (graph.node, *(f.node_def for f in graph.library.function)):
        _close(nodes, batch)
    _rename(graph)
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    closed = imported.prune([t.name for t in frozen.inputs], [t.name for t in frozen.outputs])

    def call(*inputs: Any) -> dict[str, Any]:
        values = tf.nest.flatten(closed(*inputs))
        return {n: values[i] for n, i in zip(names, order, strict=True)}

    return call


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for f in graph.library.function:
        yield from f.node_def


def _close(nodes: Sequence[Any], batch: int) -> None:
    import tensorflow as tf

    shapes = {n.input[SHAPES[n.op]].split(":")[0] for n in nodes if n.op in SHAPES}
    for n in nodes:
        if n.name in shapes and n.op == "Const":
            value = tf.make_ndarray(n.attr["value"].tensor).copy()
            if value.ndim == 1 and value.size and value[0] == -1:
                value[0] = batch
                n.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _rename(graph: Any) -> None:
    """Give the functions of a graph names that TensorFlow does not know yet."""
    names = {f.signature.name for f in graph.library.function}
    for n in _nodes(graph):
        if n.op in names:
            n.op += SUFFIX
        for attribute in n.attr.values():
            called = [attribute.func] if attribute.HasField("func") else attribute.list.func
            for f in called:
                if f.name in names:
                    f.name += SUFFIX
    for f in graph.library.function:
        f.signature.name += SUFFIX
