"""I3D a second time, in PyTorch and from the paper, to hold `vgm_jax/models/pretrained/i3d.py` to.

    python experiments/pretrained_weights/i3d_reference.py     # needs torch; a few seconds

writes `tests/models/pretrained/i3d_reference.npz`: the logits of clips of noise under random weights. Clips
and weights are drawn anew by the test from the same seeds, so that the file holds only the logits, and the
test needs no torch.
"""

from pathlib import Path

import numpy as np

OUT = Path(__file__).parents[2] / "tests" / "models" / "pretrained" / "i3d_reference.npz"
BN_EPSILON = 1e-3
# Clips [T H W]: the fewest frames; odd and even numbers of them; pictures to be enlarged, reduced and left.
CLIPS = {"fewest": (9, 45, 61), "ten": (10, 224, 224), "odd": (11, 301, 150), "usual": (16, 64, 64)}
# The table of the paper's figure 3, with the widths of Inception-v1 (arXiv 1409.4842, table 1).
STAGES = (
    {
        "3b": (192, 64, (96, 128), (16, 32), 32),
        "3c": (256, 128, (128, 192), (32, 96), 64),
    },
    {
        "4b": (480, 192, (96, 208), (16, 48), 64),
        "4c": (512, 160, (112, 224), (24, 64), 64),
        "4d": (512, 128, (128, 256), (24, 64), 64),
        "4e": (512, 112, (144, 288), (32, 64), 64),
        "4f": (528, 256, (160, 320), (32, 128), 128),
    },
    {
        "5b": (832, 256, (160, 320), (32, 128), 128),
        "5c": (832, 384, (192, 384), (48, 128), 128),
    },
)


def units():
    """(name, inputs, outputs, window) of every convolution, named as in pytorch-i3d's state dict."""
    yield "Conv3d_1a_7x7", 3, 64, 7
    yield "Conv3d_2b_1x1", 64, 64, 1
    yield "Conv3d_2c_3x3", 64, 192, 3
    for stage in STAGES:
        for name, (inputs, one, (narrow, wide), (narrow2, wide2), pooled) in stage.items():
            yield f"Mixed_{name}.b0", inputs, one, 1
            yield f"Mixed_{name}.b1a", inputs, narrow, 1
            yield f"Mixed_{name}.b1b", narrow, wide, 3
            yield f"Mixed_{name}.b2a", inputs, narrow2, 1
            yield f"Mixed_{name}.b2b", narrow2, wide2, 3
            yield f"Mixed_{name}.b3b", inputs, pooled, 1
    yield "logits", 1024, 400, 1


def random_state_dict(seed: int = 0) -> dict[str, np.ndarray]:
    """float32 weights of variance 2 / fan in, and normalisations that all do something.

    RandomState, because NumPy promises that its numbers never change.
    """
    rng = np.random.RandomState(seed)
    arrays = {}
    for name, inputs, outputs, window in units():
        scale = (2 / (inputs * window**3)) ** 0.5
        arrays[f"{name}.conv3d.weight"] = scale * rng.standard_normal(
            (outputs, inputs, window, window, window)
        )
        if name == "logits":
            arrays["logits.conv3d.bias"] = rng.standard_normal(outputs)
            continue
        arrays[f"{name}.bn.weight"] = rng.uniform(0.5, 1.5, outputs)
        arrays[f"{name}.bn.bias"] = rng.normal(0, 0.3, outputs)
        arrays[f"{name}.bn.running_mean"] = rng.normal(0, 0.3, outputs)
        arrays[f"{name}.bn.running_var"] = rng.uniform(0.5, 1.5, outputs)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def clip(name: str) -> np.ndarray:
    """Noise, float32 [1 T H W 3] in [-1, 1]."""
    seed = list(CLIPS).index(name)
    return np.random.RandomState(1000 + seed).uniform(-1, 1, (1, *CLIPS[name], 3)).astype(np.float32)


def reference(weights: dict[str, np.ndarray], clip: np.ndarray) -> np.ndarray:
    """[B T H W 3] -> [B 400] by PyTorch, in float64."""
    import torch
    from torch.nn import functional as F

    weights = {name: torch.from_numpy(array).double() for name, array in weights.items()}

    def same(x, window, strides, value):
        """TensorFlow's rule: as many outputs as ceil(size / stride), the odd one of the padding behind."""
        padding = []
        for size, k, s in zip(x.shape[2:], window, strides, strict=True):
            total = max(k - (size % s or s), 0)
            padding = [total // 2, total - total // 2, *padding]  # F.pad begins with the last axis
        return F.pad(x, padding, value=value)

    def unit(x, name, stride=1):
        kernel = weights[f"{name}.conv3d.weight"]
        x = F.conv3d(same(x, kernel.shape[2:], [stride] * 3, 0.0), kernel, stride=stride)
        mean, variance, gain, shift = (
            weights[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.relu(F.batch_norm(x, mean, variance, gain, shift, training=False, eps=BN_EPSILON))

    def pool(x, window, strides):
        return F.max_pool3d(same(x, window, strides, -torch.inf), window, strides)

    def mixed(x, name):
        return torch.cat(
            [
                unit(x, f"{name}.b0"),
                unit(unit(x, f"{name}.b1a"), f"{name}.b1b"),
                unit(unit(x, f"{name}.b2a"), f"{name}.b2b"),
                unit(pool(x, (3, 3, 3), (1, 1, 1)), f"{name}.b3b"),
            ],
            1,
        )

    b, t = clip.shape[:2]
    frames = torch.from_numpy(clip).double().flatten(0, 1).permute(0, 3, 1, 2)
    frames = F.interpolate(frames, (224, 224), mode="bilinear", align_corners=False)
    x = frames.unflatten(0, (b, t)).transpose(1, 2)
    x = unit(x, "Conv3d_1a_7x7", stride=2)
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3")
    x = pool(x, (1, 3, 3), (1, 2, 2))
    before = (None, ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)))
    for stage, pooling in zip(STAGES, before, strict=True):
        x = pool(x, *pooling) if pooling else x
        for name in stage:
            x = mixed(x, f"Mixed_{name}")
    x = F.avg_pool3d(x, (2, 7, 7), stride=1)
    x = F.conv3d(x, weights["logits.conv3d.weight"], weights["logits.conv3d.bias"])
    return x.squeeze((3, 4)).mean(2).numpy()


def main():
    weights = random_state_dict()
    logits = {name: reference(weights, clip(name)).astype(np.float32) for name in CLIPS}
    np.savez(OUT, **logits)
    for name, found in logits.items():
        print(f"{name}: mean {found.mean():.3f}, spread {found.std():.3f}")
    print(f"wrote {OUT.name}, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
