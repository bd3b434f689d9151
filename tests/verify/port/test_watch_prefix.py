"""watch: a module that is a part of another one."""

import numpy as np
import pytest

from npswin.verify import watch


def test_what_comes_before_the_names_of_the_model_does_not_matter():
    torch = pytest.importorskip("torch")

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = torch.nn.LayerNorm(4)
            self.mlp = torch.nn.Module()
            self.mlp.fc1, self.mlp.fc2 = torch.nn.Linear(4, 8), torch.nn.Linear(8, 4)

        def forward(self, x):
            return x + self.mlp.fc2(self.mlp.fc1(self.norm1(x)))

    class Backbone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Module()])
            self.layers[0].blocks = torch.nn.ModuleList([Block()])
            self.norm = torch.nn.LayerNorm(4)

        def forward(self, x):
            return self.norm(self.layers[0].blocks[0](x))

    class Detector(torch.nn.Module):
        def __init__(self, backbone):
            super().__init__()
            self.backbone, self.neck = backbone, torch.nn.Linear(4, 2)

        def forward(self, x):
            return self.neck(self.backbone(x))

    backbone, x = Backbone(), torch.ones(1, 3, 3, 4)
    recordings = []
    for module in (backbone, Detector(backbone)):
        module.zero_grad()
        with watch(module) as recording:
            module(x).square().sum().backward()
        recordings.append(recording.tensors)
    block = "layers.0.blocks.0"
    assert {"norm", block, f"{block}.norm1", f"{block}.mlp.fc1", f"grad/{block}.norm1.weight"} <= set(recordings[0])
    assert set(recordings[0]) <= set(recordings[1])
    for name in ("norm", block, f"{block}.mlp.fc1"):
        np.testing.assert_array_equal(recordings[0][name], recordings[1][name])
