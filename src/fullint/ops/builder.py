"""A concise way to build a model without TensorFlow, for tests and examples.

    g = Builder()
    x = g.input(1, 8, 8, 3)
    y = g.conv(x, filters=4, activation="RELU")
    g.output(g.op("SOFTMAX", g.dense(g.reshape(y, 1, -1), 10), beta=1.0))
    open("tiny.tflite", "wb").write(g.bytes())

Weights come from the builder's own random generator, so the same calls give the same bytes. `op` makes any operator; it
infers the output shape of element-wise operators and requires it for others. An unknown option is an error. To use the graph
of another builder as a subgraph, pass it as an option (`body_subgraph_index=body.graph`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fullint.model.ir import Array, Graph, Model, Signature, Tensor, constant
from fullint.model.subgraphs import reachable
from fullint.model.tflite import write_model
from fullint.ops.make import ACTIVATIONS, PADDING, make_op

_BROADCAST = frozenset(
    "ADD SUB MUL DIV MAXIMUM MINIMUM SQUARED_DIFFERENCE POW FLOOR_DIV FLOOR_MOD ATAN2 LESS LESS_EQUAL GREATER"
    " GREATER_EQUAL EQUAL NOT_EQUAL LOGICAL_AND LOGICAL_OR SELECT SELECT_V2 PRELU".split()
)
_BOOLEAN = frozenset("LESS LESS_EQUAL GREATER GREATER_EQUAL EQUAL NOT_EQUAL LOGICAL_AND LOGICAL_OR".split())


class Builder:
    """Builds a model operator by operator; see the module's example."""

    def __init__(self, seed: int = 0, name: str = "main") -> None:
        self.graph = Graph(name=name)
        self.rng = np.random.default_rng(seed)
        self._counts: dict[str, int] = {}

    def _name(self, stem: str) -> str:
        n = self._counts[stem] = self._counts.get(stem, -1) + 1
        return f"{stem}_{n}" if n else stem

    def input(self, *shape: int, dtype: str = "float32", name: str | None = None) -> Tensor:
        """Add a graph input. A dimension of -1 is dynamic, with size 1 in `shape`."""
        fixed = tuple(1 if n < 0 else n for n in shape)
        tensor = Tensor(name or self._name("input"), fixed, dtype)
        if fixed != tuple(shape):
            tensor.shape_signature = tuple(shape)
        self.graph.inputs.append(tensor)
        return tensor

    def const(self, value: Any, dtype: str = "float32", name: str | None = None) -> Tensor:
        """Make a constant; Python numbers become `dtype`, arrays keep their own type."""
        array = np.asarray(value) if isinstance(value, np.ndarray | np.generic) else np.asarray(value, dtype)
        return constant(name or self._name("const"), array)

    def random(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Make a constant with values from a normal distribution with standard deviation `scale`."""
        return self.const((self.rng.normal(size=shape) * scale).astype(np.float32), name=self._name("weights"))

    def op(
        self,
        kind: str,
        *inputs: Tensor | None,
        shape: Sequence[int] | None = None,
        dtype: str | None = None,
        outputs: int = 1,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        """Add an operator. Returns its output tensor, or a list of them if `outputs` > 1."""
        given = tuple(shape) if shape is not None else _shape(kind, inputs)
        first = next((t for t in inputs if t is not None), None)
        element = dtype or ("bool" if kind in _BOOLEAN or first is None else _data_operand(kind, inputs, first).dtype)
        made = [Tensor(name or self._name(kind.lower()), given, element) for _ in range(outputs)]
        self.graph.ops.append(make_op(kind, inputs, made, **options))
        return made[0] if outputs == 1 else made

    def conv(
        self,
        x: Tensor,
        filters: int = 4,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: str = "SAME",
        activation: str = "NONE",
        groups: int = 1,
        weights: Tensor | None = None,
        bias: Tensor | bool = True,
    ) -> Tensor:
        """Add a CONV_2D in NHWC. `bias`: True makes a random one, False one of zeros (LiteRT requires a bias)."""
        channels = x.shape[3] // groups
        w = weights or self.random(filters, kernel, kernel, channels, scale=(kernel * kernel * channels) ** -0.5)
        b = self._bias(bias, w.shape[0]) or self.const(np.zeros(w.shape[0], np.float32))
        shape = (*_spatial(x, w.shape[1:3], stride, padding), w.shape[0])
        return self._conv("CONV_2D", [x, w, b], shape, stride, padding, activation)

    def depthwise(
        self,
        x: Tensor,
        multiplier: int = 1,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: str = "SAME",
        activation: str = "NONE",
        bias: Tensor | bool = True,
    ) -> Tensor:
        """Add a DEPTHWISE_CONV_2D in NHWC."""
        channels = x.shape[3] * multiplier
        w = self.random(1, kernel, kernel, channels, scale=1 / kernel)
        shape = (*_spatial(x, (kernel, kernel), stride, padding), channels)
        inputs: list[Tensor | None] = [x, w, self._bias(bias, channels) or self.const(np.zeros(channels, np.float32))]
        y = self._conv("DEPTHWISE_CONV_2D", inputs, shape, stride, padding, activation)
        self.graph.ops[-1].options["depth_multiplier"] = multiplier
        return y

    def transpose_conv(
        self,
        x: Tensor,
        filters: int = 4,
        kernel: int = 3,
        *,
        stride: int = 2,
        activation: str = "NONE",
        weights: Tensor | None = None,
        bias: Tensor | bool = True,
    ) -> Tensor:
        """Add a TRANSPOSE_CONV with SAME padding: height and width grow by `stride`. Weights are [out, h, w, in]."""
        w = weights or self.random(filters, kernel, kernel, x.shape[3], scale=(kernel * kernel * x.shape[3]) ** -0.5)
        shape = (x.shape[0], x.shape[1] * stride, x.shape[2] * stride, w.shape[0])
        sizes = self.const(np.asarray(shape, np.int32))
        inputs: list[Tensor | None] = [sizes, w, x, self._bias(bias, w.shape[0])]
        return self._conv("TRANSPOSE_CONV", inputs, shape, stride, "SAME", activation)

    def dense(
        self,
        x: Tensor,
        units: int,
        *,
        activation: str = "NONE",
        weights: Tensor | None = None,
        bias: Tensor | bool = True,
    ) -> Tensor:
        """Add a FULLY_CONNECTED along the last axis. Weights are [units, features]."""
        w = weights or self.random(units, x.shape[-1], scale=x.shape[-1] ** -0.5)
        out: Tensor = self.op(
            "FULLY_CONNECTED",
            x,
            w,
            self._bias(bias, units),
            shape=(*x.shape[:-1], units),
            fused_activation_function=ACTIVATIONS[activation],
            keep_num_dims=len(x.shape) > 2,
        )
        return out

    def reshape(self, x: Tensor, *shape: int) -> Tensor:
        """Add a RESHAPE; one dimension may be -1."""
        known = int(np.prod([n for n in shape if n >= 0]))
        full = tuple(x.size // known if n < 0 else n for n in shape)
        out: Tensor = self.op("RESHAPE", x, self.const(np.asarray(full, np.int32)), shape=full, new_shape=list(full))
        return out

    def output(self, *tensors: Tensor) -> None:
        """Add graph outputs."""
        self.graph.outputs.extend(tensors)

    def model(self, signature: str | None = None) -> Model:
        """The model as built so far. `signature` adds a signature with that key."""
        model = Model([self.graph])
        model.graphs = reachable(model)
        for graph in model.graphs:
            graph.sync_tensors()
        if signature:
            ins = [(t.name, t) for t in self.graph.inputs]
            outs = [(t.name, t) for t in self.graph.outputs]
            model.signatures.append(Signature(signature, self.graph, ins, outs))  # type: ignore[arg-type]
        return model

    def bytes(self, signature: str | None = None) -> bytes:
        """The model as a `.tflite` file."""
        return write_model(self.model(signature))

    def _bias(self, bias: Tensor | bool, channels: int) -> Tensor | None:
        if isinstance(bias, Tensor):
            return bias
        return self.random(channels, scale=0.1) if bias else None

    def _conv(
        self, kind: str, inputs: list[Tensor | None], shape: tuple[int, ...], stride: int, padding: str, activation: str
    ) -> Tensor:
        out: Tensor = self.op(
            kind,
            *inputs,
            shape=shape,
            dtype="float32",
            stride_w=stride,
            stride_h=stride,
            padding=PADDING[padding],
            fused_activation_function=ACTIVATIONS[activation],
        )
        return out


def _data_operand(kind: str, inputs: Sequence[Tensor | None], first: Tensor) -> Tensor:
    """The operand that determines the output's element type."""
    position = {"SELECT": 1, "SELECT_V2": 1, "SPLIT": 1, "FILL": 1, "ONE_HOT": 2}.get(kind, 0)
    return inputs[position] or first


def _spatial(x: Tensor, kernel: Sequence[int], stride: int, padding: str) -> tuple[int, int, int]:
    n, h, w, _ = x.shape
    if padding == "SAME":
        return n, -(-h // stride), -(-w // stride)
    return n, (h - kernel[0]) // stride + 1, (w - kernel[1]) // stride + 1


def _shape(kind: str, inputs: Sequence[Tensor | None]) -> tuple[int, ...]:
    """The output shape of element-wise operators; TypeError for others."""
    shapes = [t.shape for t in inputs if t is not None]
    if kind in _BROADCAST:
        return np.broadcast_shapes(*shapes)
    if len(shapes) == 1:
        return shapes[0]
    raise TypeError(f"{kind}: the output shape cannot be inferred; give `shape`")


def samples_like(model: Model, count: int, seed: int = 0) -> list[dict[str, Array]]:
    """`count` random samples for a model's inputs: standard normal floats, integers 0 or 1, booleans."""
    rng = np.random.default_rng(seed)

    def draw(t: Tensor) -> Array:
        if t.is_float:
            return rng.normal(size=t.shape).astype(np.float32)
        return rng.integers(0, 2, t.shape).astype(t.dtype)

    return [{t.name: draw(t) for t in model.main.inputs} for _ in range(count)]
