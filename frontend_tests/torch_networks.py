"""PyTorch networks of the tests; `python torch_networks.py FOLDER` writes them as .pt2 and, where onnx is installed, .onnx."""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Cnn(nn.Module):
    """Convolutions, and two outputs of which one is an image, channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.deep, self.head = nn.Conv2d(16, 32, 3, stride=2, padding=1, groups=16), nn.Linear(32, 10)

    def forward(self, image):
        x = torch.relu(self.norm(self.first(image)))
        x = nn.functional.hardswish(self.deep(x))
        return self.head(x.mean((2, 3))), x


class Encoder(nn.Module):
    """A transformer encoder between two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, activation="gelu")
        self.embed, self.encoder, self.out = nn.Linear(8, 32), nn.TransformerEncoder(layer, 2), nn.Linear(32, 4)

    def forward(self, tokens):
        return self.out(self.encoder(self.embed(tokens)))


def cnn():
    """For `torch_networks.py:cnn`."""
    torch.manual_seed(0)
    return Cnn().eval(), (torch.randn(1, 3, 32, 32),)


def encoder():
    torch.manual_seed(0)
    return Encoder().eval(), (torch.randn(1, 16, 8),)


def alone():
    return Cnn()


def quantized(folded: bool) -> torch.export.ExportedProgram:
    """The CNN quantized by PT2E, on grids of its own."""
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    module, example = cnn()
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(module, example).module(), quantizer)
    for _ in range(8):
        prepared(torch.randn(1, 3, 32, 32))
    return torch.export.export(convert_pt2e(prepared, fold_quantize=folded), example)


def main(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for name, make in (("cnn", cnn), ("encoder", encoder)):
        module, example = make()
        torch.export.save(torch.export.export(module, example), folder / f"{name}.pt2")
        inputs = [str(i) for i in torch.export.export(module, example).graph_signature.user_inputs]
        np.savez(folder / f"{name}.npz", **{inputs[0]: rng.normal(size=(30, *example[0].shape[1:])).astype(np.float32)})
    dynamic = {"image": {0: torch.export.Dim("batch", min=1, max=64)}}
    module, _ = cnn()
    torch.export.save(torch.export.export(module, (torch.randn(4, 3, 32, 32),), dynamic_shapes=dynamic), folder / "batch.pt2")
    for folded in (False, True):
        torch.export.save(quantized(folded), folder / f"pt2e_{'folded' if folded else 'pairs'}.pt2")


def main_onnx(folder: Path) -> None:
    """Both exporters of PyTorch: the one of today, and the one before."""
    for name, make, inputs, outputs in (
        ("cnn", cnn, ["image"], ["logits", "features"]),
        ("encoder", encoder, ["tokens"], ["scores"]),
    ):
        module, example = make()
        for suffix, dynamo in (("", True), ("_legacy", False)):
            names = {"input_names": inputs, "output_names": outputs}
            torch.onnx.export(module, example, str(folder / f"{name}{suffix}.onnx"), dynamo=dynamo, external_data=False, **names)
    module, example = cnn()
    axes = {"image": {0: "batch"}}
    torch.onnx.export(
        module,
        example,
        str(folder / "batch.onnx"),
        dynamo=False,
        input_names=["image"],
        output_names=["a", "b"],
        dynamic_axes=axes,
    )


if __name__ == "__main__":
    {"files": main, "onnx": main_onnx}[sys.argv[1]](Path(sys.argv[2]))
