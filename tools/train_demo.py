"""Trains the network that `fullint demo` quantizes, and writes what the package ships.

    pip install torch scikit-learn && python tools/train_demo.py

The network has the pattern that leaves convolutions in float elsewhere: convolutions without bias,
each with one and the same constant of zeros in place
of it and followed by an addition of a constant that several of them share; besides a concatenation, a
transposed convolution and two heads (which digit it is, and the digit drawn again). Data: the
handwritten digits of scikit-learn (UCI ML repository, 1797 images of 8x8).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from digits import TEST, shuffled

import fullint
from fullint.model.ir import Tensor
from fullint.ops.builder import Builder

HOME = Path(__file__).parents[1] / "src" / "fullint" / "demo"
CALIBRATION, EPOCHS = 200, 120


class Net(torch.nn.Module):
    """Encoder, decoder, two heads. Padding follows TensorFlow's SAME."""

    def __init__(self) -> None:
        super().__init__()

        def weight(out: int, into: int, kernel: int = 3) -> torch.nn.Parameter:
            return torch.nn.Parameter(torch.randn(out, into, kernel, kernel) * (2 / (into * kernel * kernel)) ** 0.5)

        self.w1, self.w2 = weight(8, 1), weight(8, 8)
        self.w3, self.w4, self.w5 = weight(16, 16), weight(16, 16), weight(16, 16)
        self.shared8 = torch.nn.Parameter(torch.zeros(8))
        self.shared16 = torch.nn.Parameter(torch.zeros(16))
        self.up = torch.nn.Parameter(torch.randn(16, 8, 3, 3) * 0.1)
        self.up_bias = torch.nn.Parameter(torch.zeros(8))
        self.draw, self.draw_bias = weight(1, 8), torch.nn.Parameter(torch.zeros(1))
        self.dense = torch.nn.Linear(16 * 4 * 4, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        def plus(y: torch.Tensor, constant: torch.Tensor) -> torch.Tensor:
            return F.relu(y + constant.view(1, -1, 1, 1))

        a = plus(F.conv2d(x, self.w1, padding=1), self.shared8)
        b = plus(F.conv2d(a, self.w2, padding=1), self.shared8)
        c = plus(F.conv2d(F.pad(torch.cat([a, b], 1), (0, 1, 0, 1)), self.w3, stride=2), self.shared16)
        d = plus(F.conv2d(c, self.w4, padding=1), self.shared16)
        e = plus(F.conv2d(d, self.w5, padding=1), self.shared16)
        logits = self.dense(e.permute(0, 2, 3, 1).reshape(len(x), -1))
        up = F.relu(F.conv_transpose2d(e, self.up, self.up_bias, stride=2)[:, :, :8, :8])
        return logits, torch.sigmoid(F.conv2d(up, self.draw, self.draw_bias, padding=1))


def train(images: np.ndarray, labels: np.ndarray) -> Net:
    """Train on all given digits."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs=EPOCHS, steps_per_epoch=-(-len(images) // 64))
    x, y = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(64):
            shifted = torch.roll(x[rows], tuple(int(n) for n in torch.randint(-1, 2, (2,))), (2, 3))
            logits, drawn = net(shifted)
            loss = F.cross_entropy(logits, y[rows]) + F.mse_loss(drawn, shifted)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net


def export(net: Net) -> bytes:
    """The trained network as a `.tflite`, laid out as an exporter would that does not fold constants."""
    g = Builder()

    def const(p: torch.Tensor, *order: int, name: str) -> Tensor:
        return g.const(np.ascontiguousarray(p.detach().permute(*order).numpy(), np.float32), name=name)

    zeros = [g.const(np.zeros(n, np.float32), name=f"zeros{n}") for n in (8, 16)]
    shared = [const(p, 0, name=n) for p, n in ((net.shared8, "shared8"), (net.shared16, "shared16"))]

    def layer(x: Tensor, weight: torch.Tensor, constant: Tensor, name: str, stride: int = 1) -> Tensor:
        bias = zeros[0] if weight.shape[0] == 8 else zeros[1]
        y = g.conv(x, weights=const(weight, 0, 2, 3, 1, name=f"{name}/weights"), bias=bias, stride=stride)
        y.name = f"{name}/conv"
        return g.op("ADD", y, constant, fused_activation_function=1, name=f"{name}/add")

    x = g.input(1, 8, 8, 1, name="image")
    a = layer(x, net.w1, shared[0], "first")
    b = layer(a, net.w2, shared[0], "second")
    both = g.op("CONCATENATION", a, b, shape=(1, 8, 8, 16), axis=3)
    c = layer(both, net.w3, shared[1], "down", stride=2)
    e = layer(layer(c, net.w4, shared[1], "fourth"), net.w5, shared[1], "fifth")
    logits = g.dense(
        g.reshape(e, 1, -1),
        10,
        weights=const(net.dense.weight, 0, 1, name="dense/weights"),
        bias=const(net.dense.bias, 0, name="dense/bias"),
    )
    up = g.transpose_conv(
        e, weights=const(net.up, 1, 2, 3, 0, name="up/weights"), bias=const(net.up_bias, 0, name="up/bias"), activation="RELU"
    )
    drawn = g.conv(up, weights=const(net.draw, 0, 2, 3, 1, name="draw/weights"), bias=const(net.draw_bias, 0, name="draw/bias"))
    g.output(g.op("SOFTMAX", logits, beta=1.0, name="digit"), g.op("LOGISTIC", drawn, name="drawing"))
    return g.bytes(signature="serving_default")


def main() -> None:
    """Train, export, and write the files."""
    images, labels = shuffled()
    net = train(images[:-TEST], labels[:-TEST])
    with torch.no_grad():
        logits, _ = net(torch.from_numpy(images[-TEST:]).permute(0, 3, 1, 2))
    print(f"accuracy on {TEST} test digits: {(logits.argmax(1).numpy() == labels[-TEST:]).mean():.4f}")
    HOME.mkdir(exist_ok=True)
    (HOME / "digits.tflite").write_bytes(export(net))
    np.savez_compressed(HOME / "calibration.npz", image=images[:CALIBRATION].astype(np.float16))
    samples = str(HOME / "calibration.npz")
    half = fullint.quantize(HOME / "digits.tflite", samples, keep_float="CONV_2D")  # as some converters leave it
    (HOME / "half.tflite").write_bytes(half.model)
    np.savez_compressed(HOME / "test.npz", image=images[-TEST:].astype(np.float16), label=labels[-TEST:].astype(np.uint8))


if __name__ == "__main__":
    main()
