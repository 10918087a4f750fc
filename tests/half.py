"""Half-quantized models, made by hand: integer tensors beside float ones."""

from __future__ import annotations

import numpy as np

from fullint.model.ir import Buffer, Model, Quant, Tensor, constant
from fullint.model.numerics import bias_scales, quantize
from fullint.model.weights import PerAxis, PerTensor, WeightSpec
from fullint.ops.builder import Builder
from fullint.ops.make import ACTIVATIONS, PADDING


class Half(Builder):
    """A builder of graphs with scales."""

    metadata: tuple[tuple[str, bytes], ...] = ()
    description: str | None = None

    def model(self, signature: str | None = None) -> Model:
        """With what its converter wrote beside the graph."""
        model = super().model(signature)
        model.metadata += [(name, Buffer.of(np.frombuffer(data, np.uint8))) for name, data in self.metadata]
        model.description = self.description
        return model

    def coded(self, *shape: int, scale: float = 0.05, zero: int = 3, dtype: str = "int8") -> Tensor:
        """A graph input of codes."""
        t = self.input(*shape, dtype=dtype)
        t.quant = Quant.of(scale, zero)
        return t

    def dequantize(self, x: Tensor) -> Tensor:
        return self.op("DEQUANTIZE", x, dtype="float32", name=f"{x.name}/float")

    def quantize(self, x: Tensor, scale: float = 0.05, zero: int = 3, dtype: str = "int8") -> Tensor:
        y = self.op("QUANTIZE", x, dtype=dtype, name=f"{x.name}/codes")
        y.quant = Quant.of(scale, zero)
        return y

    def codes_of(self, value: np.ndarray, quant: Quant, dtype: str = "int8") -> Tensor:
        """A constant of codes."""
        t = constant(self._name("codes"), quantize(value.astype(np.float32), quant, dtype), quant)
        t.dtype = dtype
        return t

    def int_op(self, kind: str, *inputs: Tensor | None, scale: float, zero: int, dtype: str = "int8", **options) -> Tensor:
        """An operator on codes; LiteRT's versions for int8."""
        y = self.op(kind, *inputs, dtype=dtype, **options)
        y.quant = Quant.of(scale, zero)
        self.graph.ops[-1].version = 2
        return y

    def int_conv(
        self,
        x: Tensor,
        filters: int = 4,
        *,
        scale: float = 0.1,
        zero: int = 0,
        bias_factor: float = 1.0,
        bias: np.ndarray | None = None,
        weight_zero: int = 0,
        per_tensor: bool = False,
    ) -> Tensor:
        """CONV_2D in int8, right unless asked otherwise.

        bias_factor: what the bias's scale is multiplied by in the file; the codes say the same real numbers.
        """
        channels = x.shape[3]
        w = (self.rng.normal(size=(filters, 3, 3, channels)) * (9 * channels) ** -0.5).astype(np.float32)
        scales = WeightSpec(granularity=PerTensor() if per_tensor else PerAxis(0)).scales(w)
        real = (self.rng.normal(size=filters) * 0.5).astype(np.float32) if bias is None else bias
        wq = Quant.of(scales, weight_zero, 0)
        bq = Quant.of(bias_scales(float(x.quant.scale[0]), scales) * np.float32(bias_factor))
        weights, b = self.codes_of(w, wq), self.codes_of(real, bq, "int32")
        weights.buffer.data[:] = np.where(weights.buffer.data == 128, 129, weights.buffer.data)
        y = self.op(
            "CONV_2D",
            x,
            weights,
            b,
            shape=(*x.shape[:3], filters),
            dtype="int8",
            stride_w=1,
            stride_h=1,
            padding=PADDING["SAME"],
            fused_activation_function=ACTIVATIONS["NONE"],
        )
        y.quant = Quant.of(scale, zero)
        self.graph.ops[-1].version = 3
        return y

    def sandwich(self, x: Tensor, bias: Tensor | bool = True, scale: float = 0.1) -> Tensor:
        """codes -> DEQUANTIZE -> CONV_2D -> QUANTIZE -> codes, as a converter leaves it."""
        return self.quantize(self.conv(self.dequantize(x), 4, bias=bias), scale, 0)
