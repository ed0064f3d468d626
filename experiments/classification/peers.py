"""transformers' VideoMAE and ViViT and pytorchvideo's X3D on the arrays of race.py, by the clock.

An interpreter with torch, transformers and pytorchvideo runs it; it needs nothing of the project.

PEERS/python experiments/classification/peers.py videomae --data DATA --dataset shapeshow --seed 0
PEERS/python experiments/classification/peers.py videomae --data DATA --dataset shapeshow --time
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

RESULTS = Path(__file__).parent / "results" / "race"
SIZE, FRAMES, BATCH = 32, 16, 32
RATES = {"videomae": 1e-3, "vivit": 3e-4, "x3d": 3e-3}
DECAY, WARMUP, SMOOTHING, CLIP = 0.05, 0.02, 0.1, 1.0  # AdamW; of the minutes; labels; gradient's norm


def make(name: str, classes: int) -> nn.Module:
    """A network of about as many parameters as ours; floats [B T 3 H W] in [-1, 1] -> logits."""
    shape = dict(hidden_size=136, num_hidden_layers=4, num_attention_heads=4, intermediate_size=544)
    shape |= dict(image_size=SIZE, num_frames=FRAMES, num_labels=classes)
    if name == "videomae":
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification

        return VideoMAEForVideoClassification(VideoMAEConfig(patch_size=8, tubelet_size=2, **shape))
    if name == "vivit":
        from transformers import VivitConfig, VivitForVideoClassification

        return VivitForVideoClassification(VivitConfig(tubelet_size=[2, 8, 8], **shape))
    from pytorchvideo.models.x3d import create_x3d

    return create_x3d(
        input_clip_length=FRAMES,
        input_crop_size=SIZE,
        model_num_class=classes,
        width_factor=1.5,
        depth_factor=1.1,
        head_dim_out=512,
        dropout_rate=0.0,
        head_activation=None,
    )


def logits(name: str, model: nn.Module, video: torch.Tensor) -> torch.Tensor:
    if name == "x3d":
        return model(video.transpose(1, 2))
    return model(pixel_values=video).logits


def floats(video: np.ndarray) -> torch.Tensor:
    """uint8 [B T H W 3] -> [B T 3 H W] in [-1, 1]."""
    return torch.from_numpy(video).permute(0, 1, 4, 2, 3).float() / 127.5 - 1.0


def cropped(video: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each clip's window of 0.6 to 1 of its area, mirrored or not, stretched to the whole frame."""
    out = []
    for clip in video:
        height, width = (max(1, round(SIZE * math.sqrt(rng.uniform(0.6, 1.0)))) for _ in range(2))
        y, x = rng.integers(0, SIZE - height + 1), rng.integers(0, SIZE - width + 1)
        part = clip[:, :, y : y + height, x : x + width]
        part = nn.functional.interpolate(part, (SIZE, SIZE), mode="bilinear", align_corners=False)
        out.append(part.flip(-1) if rng.uniform() < 0.5 else part)
    return torch.stack(out)


def recoloured(video: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Brightness, contrast and saturation of each clip changed as much as ours are; a square of it grey."""
    out = video.clone()
    for clip in out:
        contrast, saturation = (math.exp(rng.uniform(-1, 1) * math.log(most)) for most in (1.25, 1.5))
        grey = clip.mean(1, keepdim=True)
        clip.copy_(grey + saturation * (clip - grey))
        mean = clip.mean()
        clip.copy_((mean + contrast * (clip - mean) + rng.uniform(-25, 25) / 127.5).clamp(-1, 1))
        side = round(SIZE * rng.uniform(0.25, 0.5))
        y, x = rng.integers(0, SIZE - side + 1, 2)
        clip[:, :, y : y + side, x : x + side] = 0.0
    return out


def accuracy(name: str, model: nn.Module, video: np.ndarray, labels: np.ndarray) -> float:
    model.eval()
    right = 0
    with torch.no_grad():
        for i in range(0, len(video), 64):
            found = logits(name, model, floats(np.array(video[i : i + 64]))).argmax(1).numpy()
            right += int((found == labels[i : i + 64]).sum())
    model.train()
    return right / len(video)


def update(name, model, optimizer, video, labels, smoothing=SMOOTHING):
    loss = nn.functional.cross_entropy(logits(name, model, video), labels, label_smoothing=smoothing)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
    return loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=sorted(RATES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--tag", help="behind the name in the results: of other settings, another one")
    parser.add_argument("--augment", action="store_true", help="crops and mirrored clips")
    parser.add_argument("--colour", action="store_true", help="and other colours, and a square of it grey")
    parser.add_argument("--time", action="store_true", help="only the seconds of an update of 8 clips")
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    folder = args.data / args.dataset
    read = lambda what: np.load(folder / f"{what}.npy", mmap_mode="r", allow_pickle=False)  # noqa: E731
    video, labels = read("train"), np.array(read("train_labels"), np.int64)
    classes = len((folder / "classes.txt").read_text().splitlines())
    model = make(args.name, classes)
    rate = args.rate or RATES[args.name]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=DECAY)
    about = {
        "contestant": args.name + (f"-{args.tag}" if args.tag else ""),
        "dataset": args.dataset,
        "seed": args.seed,
        "rate": rate,
    }
    about["parameters"] = sum(p.numel() for p in model.parameters())
    if args.time:
        some, told = floats(np.array(video[:8])), torch.from_numpy(labels[:8])
        seconds = []
        for _ in range(25):
            began = time.perf_counter()
            update(args.name, model, optimizer, some, told)
            seconds.append(time.perf_counter() - began)
        print(json.dumps(about | {"update_ms": 1e3 * float(np.median(seconds[5:]))}))
        return

    limit, began, outside, step, order = 60 * args.minutes, time.perf_counter(), 0.0, 0, []
    curve = []
    while True:
        part = (time.perf_counter() - began - outside) / limit
        if part >= 1:
            break
        falling = 0.5 * (1 + math.cos(math.pi * part))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, part / WARMUP) * falling
        while len(order) < BATCH:
            order.extend(rng.permutation(len(video)))
        chosen, order = order[:BATCH], order[BATCH:]
        clips = floats(np.stack([video[i] for i in chosen]))
        if args.augment:
            clips = cropped(clips, rng)
        if args.colour:
            clips = recoloured(clips, rng)
        loss = update(args.name, model, optimizer, clips, torch.from_numpy(labels[chosen]))
        step += 1
        if part > (len(curve) + 1) / 10:
            paused = time.perf_counter()
            known = accuracy(args.name, model, read("validation")[:512], read("validation_labels")[:512])
            outside += time.perf_counter() - paused
            curve.append({"seconds": round(part * limit, 1), "step": step, "accuracy": known})
            print(curve[-1], float(loss.detach()), flush=True)
    figures = {s: accuracy(args.name, model, read(s), read(f"{s}_labels")) for s in ("validation", "test")}
    changed = {"augment": args.augment, "colour": args.colour}
    result = about | {"minutes": args.minutes, "updates": step} | changed | {"curve": curve} | figures
    args.results.mkdir(parents=True, exist_ok=True)
    file = args.results / f"{args.dataset}_{about['contestant']}_{args.seed}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
