"""PyTorch networks of packages that lie unpacked in $FULLINT_PACKAGES, for `packaged_networks.py:NAME`."""

import os
import sys
from pathlib import Path

import torch
from torch import nn

PACKAGES = Path(os.environ["FULLINT_PACKAGES"])


class VoiceEncoder(nn.Module):
    """The speaker encoder of Resemblyzer: three LSTMs, and a unit vector of what the last one ends with."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.linear = nn.LSTM(40, 256, 3, batch_first=True), nn.Linear(256, 256)

    def forward(self, mels):
        _, (hidden, _) = self.lstm(mels)
        raw = torch.relu(self.linear(hidden[-1]))
        return raw / torch.norm(raw, dim=1, keepdim=True)


def resemblyzer():
    encoder = VoiceEncoder()
    saved = torch.load(PACKAGES / "Resemblyzer/resemblyzer/pretrained.pt", map_location="cpu", weights_only=False)
    encoder.load_state_dict({k: v for k, v in saved["model_state"].items() if k.startswith(("lstm", "linear"))})
    return encoder.eval(), (torch.randn(1, 160, 40).abs(),)


sys.path.insert(0, str(PACKAGES / "facenet-pytorch"))


def pnet():
    from facenet_pytorch.models.mtcnn import PNet

    return PNet().eval(), (torch.randn(1, 3, 120, 120),)


def onet():
    from facenet_pytorch.models.mtcnn import ONet

    return ONet().eval(), (torch.randn(1, 3, 48, 48),)


def facenet():
    """Random weights; batch norms with the statistics of noise, as in torchvision_networks.py."""
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    torch.manual_seed(0)
    module = InceptionResnetV1(pretrained=None, classify=False)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d):
            m.momentum = None
    with torch.no_grad():
        module.train()(torch.randn(8, 3, 160, 160))
    return module.eval(), (torch.randn(1, 3, 160, 160),)
