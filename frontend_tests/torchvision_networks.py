"""Networks of torchvision with seeded random weights, for `torchvision_networks.py:NAME`: nothing is downloaded.

Random batch norms would let activations grow or die from layer to layer, as in no trained network: statistics are those of
a batch of noise, measured layer by layer as in training.
"""

import numpy as np
import torch
import torchvision
from torch import nn

SIZE = 224


def noise(count: int, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    """Pictures with the spectrum of natural ones (amplitude ~ 1 / frequency), each channel mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    f = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    f[0, 0] = 1
    grey = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(count, 3, size, size))) / f, (size, size))
    grey += grey[:, :1]
    x = (grey - grey.mean((2, 3), keepdims=True)) / grey.std((2, 3), keepdims=True)
    return torch.from_numpy(x.astype(np.float32))


def settled(module: nn.Module, size: int = SIZE) -> tuple[nn.Module, tuple[torch.Tensor]]:
    """A network whose batch norms know their statistics, and its example input."""
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None
    with torch.no_grad():
        module.train()
        for m in module.modules():
            if isinstance(m, nn.Dropout):
                m.eval()
        module(noise(8, size, seed=99))
    return module.eval(), (noise(1, size),)


def seeded(name: str, size: int = SIZE, **options: object) -> tuple[nn.Module, tuple[torch.Tensor]]:
    torch.manual_seed(0)
    return settled(getattr(torchvision.models, name)(weights=None, **options), size)


def mobilenet_v3_small():
    return seeded("mobilenet_v3_small")


def shufflenet_v2_x0_5():
    return seeded("shufflenet_v2_x0_5")


def regnet_y_400mf():
    return seeded("regnet_y_400mf")


def efficientnet_b0():
    return seeded("efficientnet_b0")


def convnext_tiny():
    return seeded("convnext_tiny")


def swin_t():
    return seeded("swin_t")


def vit_small():
    """Six layers of 192 channels, patches of 16."""
    torch.manual_seed(0)
    vit = torchvision.models.VisionTransformer(224, 16, 6, 3, 192, 768, num_classes=100)
    nn.init.normal_(vit.heads.head.weight, std=0.05)
    return settled(vit)


class Segmented(nn.Module):
    """A segmentation network's map alone: scripts deploy the main output."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image):
        return self.inner(image)["out"]


def deeplabv3_mobilenet_v3_large():
    torch.manual_seed(0)
    inner = torchvision.models.segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)
    return settled(Segmented(inner))


class Pyramid(nn.Module):
    """The feature maps of a detector, in order."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, image):
        return tuple(self.inner(image).values())


def ssdlite320_backbone():
    torch.manual_seed(0)
    detector = torchvision.models.detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None)
    return settled(Pyramid(detector.backbone), 320)
