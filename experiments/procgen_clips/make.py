"""CoinRun (Procgen) played by a sticky random agent, as arrays of clips: uint8 [N 16 64 64 3], RGB.

python experiments/procgen_clips/make.py OUT      # in an environment with envpool: see README.md

Writes OUT/{train,validation,test}.npy and OUT/manifest.json, which has their SHA-256. The same seed gives the
same bytes. Every clip is of a level of its own, and no level's seed is in two splits.
"""

import argparse
import hashlib
import json
from pathlib import Path

import envpool
import numpy as np

GAME = "CoinrunHard-v0"
SPLITS = {"train": 12_000, "validation": 2_048, "test": 4_096}
FRAMES, SIZE = 16, 64
STRIDE = 1  # game steps from a frame to the next; a jump takes about 16
HOLD = (6, 10)  # game steps that an action is held, both included
FIRST = 128  # a clip starts at a game step drawn from 0..FIRST-1: levels begin at the left wall, all alike
MOVING = (
    10  # of the 15 pairs of neighbouring frames so many must differ by STILL or more, or the clip is dropped
)
STILL = 1.0  # grey levels, mean over a frame
# Procgen's actions are 3 * (left, none, right) + (down, none, up). Up jumps. -> weight
ACTIONS = {8: 0.45, 7: 0.30, 2: 0.08, 1: 0.07, 5: 0.05, 4: 0.05}


class Player:
    """A random agent in one environment, and the clip that it is making.

    Actions are held for a while: right jump, right, left jump, left, jump, nothing.
    """

    def __init__(self, seed: int, number: int):
        self.rng = np.random.default_rng((seed, number))
        self.start()

    def start(self) -> None:
        """A new level."""
        self.frames, self.held = [], 0
        self.first = int(self.rng.integers(FIRST))

    def act(self) -> int:
        if self.held == 0:
            self.action = self.rng.choice(list(ACTIONS), p=list(ACTIONS.values()))
            self.held = self.rng.integers(HOLD[0], HOLD[1] + 1)
        self.held -= 1
        return self.action

    def see(self, picture: np.ndarray, step: int) -> None:
        """Takes what the environment shows, [3 H W], if it is a frame of the clip."""
        if step >= self.first and (step - self.first) % STRIDE == 0:
            self.frames.append(picture.transpose(1, 2, 0))


def moves(clip: np.ndarray) -> bool:
    """Whether most neighbouring frames differ: the agent runs into walls and pits, where all stands still."""
    change = np.abs(np.diff(clip.astype(np.int16), axis=0)).mean((1, 2, 3))
    return int((change >= STILL).sum()) >= MOVING


def play(clips: np.ndarray, seed: int, environments: int) -> tuple[set[int], int]:
    """Fills `clips` [N T H W 3]; their levels, and how many more clips were dropped because too little moved.

    A level that ends before its clip is whole gives none, so no clip crosses a reset.
    """
    env = envpool.make(GAME, env_type="gymnasium", num_envs=environments, seed=seed)
    players = [Player(seed, i) for i in range(environments)]
    levels, dropped = set(), 0
    pictures, info = env.reset()
    ended = np.zeros(environments, bool)
    while len(levels) < len(clips):
        over = []
        for row, number in enumerate(info["env_id"]):
            player, level = players[number], int(info["level_seed"][row])
            if not ended[row]:
                player.see(pictures[row], int(info["elapsed_step"][row]))
            if len(player.frames) == FRAMES and level not in levels and len(levels) < len(clips):
                clip = np.stack(player.frames)
                if moves(clip):
                    clips[len(levels)] = clip
                    levels.add(level)
                else:
                    dropped += 1
            if ended[row] or len(player.frames) == FRAMES:
                over.append(number)
        for number in over:
            players[number].start()
        if over:
            first, firsts = env.reset(np.array(over, np.int32))
            for picture, number in zip(first, firsts["env_id"], strict=True):
                players[number].see(picture, 0)
        pictures, _, terminated, truncated, info = env.step(np.array([p.act() for p in players], np.int32))
        ended = terminated | truncated
    env.close()
    return levels, dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--environments", type=int, default=32)
    parser.add_argument(
        "--clips", type=json.loads, default=SPLITS, help='JSON, such as {"train": 100, "test": 50}'
    )
    flags = parser.parse_args()
    flags.out.mkdir(parents=True, exist_ok=True)
    manifest = {
        "game": GAME,
        "envpool": envpool.__version__,
        "stride": STRIDE,
        "hold": HOLD,
        "actions": ACTIONS,
        "seed": flags.seed,
        "environments": flags.environments,
        "splits": {},
    }
    seen: set[int] = set()
    for number, (split, count) in enumerate(flags.clips.items()):
        seed = 1_000 * flags.seed + 100 * number
        path, shape = flags.out / f"{split}.npy", (count, FRAMES, SIZE, SIZE, 3)
        clips = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        levels, dropped = play(clips, seed, flags.environments)
        clips.flush()
        shared = seen & levels
        if shared:
            raise SystemExit(f"{split}: {len(shared)} levels are in an earlier split; choose another --seed")
        seen |= levels
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        manifest["splits"][split] = {"shape": shape, "seed": seed, "sha256": digest, "dropped": dropped}
        print(split, manifest["splits"][split], flush=True)
    (flags.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
