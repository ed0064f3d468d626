"""Small files as PyTorch writes them, for the tests of `vgm_jax/models/pretrained/torch_file.py`.

    python experiments/pretrained_weights/torch_fixtures.py     # needs torch

writes `state.pt`, `script.pt` and `legacy.pt` to `tests/models/pretrained/files/`.
"""

from pathlib import Path

import torch

OUT = Path(__file__).parents[2] / "tests" / "models" / "pretrained" / "files"


class Block(torch.nn.Module):
    """One convolution and normalisation, and attributes that are no tensors."""

    def __init__(self):
        super().__init__()
        self.conv3d = torch.nn.Conv3d(2, 3, 1)
        self.batch3d = torch.nn.BatchNorm3d(3)
        self.sizes, self.ratio, self.word = [1, 2, 3], 0.5, "relu"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.batch3d(self.conv3d(x)) * self.ratio + len(self.sizes)


class Network(torch.nn.Module):
    """A block by name and one in a sequence."""

    def __init__(self):
        super().__init__()
        self.first = Block()
        self.rest = torch.nn.Sequential(torch.nn.ReLU(), Block())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rest(self.first(x))


def main():
    OUT.mkdir(exist_ok=True)
    numbers = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    state = {
        "whole": numbers,
        "transposed": numbers.T,
        "every_second": numbers[1:, ::2],
        "row": numbers[2],
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "half": torch.tensor([0.5, -2.0]).half(),
        "bfloat16": torch.tensor([0.5, -2.0]).bfloat16(),
        "long": torch.tensor([2**40, -1]),
        "int": torch.tensor([7, -7], dtype=torch.int32),
        "byte": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }
    inner = {"conv.weight": torch.full((2, 2), 3.0), "parts": [torch.ones(1), (torch.zeros(1), 5)]}
    torch.save({"epoch": 3, "lr": 0.1, "note": "x", "state_dict": {"model": state | inner}}, OUT / "state.pt")
    torch.save(state, OUT / "legacy.pt", _use_new_zipfile_serialization=False)
    network = Network().eval()
    for value, parameter in enumerate(network.state_dict().values()):
        parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) + 100 * value)
    torch.jit.script(network).save(str(OUT / "script.pt"))
    for file in sorted(OUT.iterdir()):
        print(file.name, file.stat().st_size)


if __name__ == "__main__":
    main()
