"""One game of Procgen played by a sticky random agent, as arrays of clips; `run.py` calls it.

python experiments/datasets/play.py OUT --game coinrun      # in an environment with envpool, CPython 3.11

Writes for each split OUT/SPLIT.npy, uint8 [N 16 64 64 3], RGB; OUT/SPLIT_actions.npy, uint8 [N 16]: the
action that led to each frame; OUT/SPLIT_levels.npy, int64 [N]: the levels' seeds; and OUT/manifest.json with
the SHA-256 of the clips. The same seed gives the same bytes. Every clip is of a level of its own, and no
level is in two splits.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

FRAMES, SIZE = 16, 64
HOLD = (6, 10)  # game steps that an action is held, both included
FIRST = 128  # a clip starts at a game step drawn from 0..FIRST-1: levels begin alike
NOTHING = 4
# Procgen's actions are 3 * (left, none, right) + (down, none, up); 9 fires. Up jumps. -> weight
RUN = {8: 0.45, 7: 0.30, 2: 0.08, 1: 0.07, 5: 0.05, 4: 0.05}
JUMP = {8: 0.25, 2: 0.25, 7: 0.15, 1: 0.15, 5: 0.15, 4: 0.05}
WALK = {1: 0.25, 7: 0.25, 3: 0.25, 5: 0.25}
FLY = {1: 0.15, 7: 0.15, 3: 0.15, 5: 0.15, 0: 0.1, 2: 0.1, 6: 0.1, 8: 0.1}
SHOOT = {1: 0.15, 7: 0.15, 3: 0.15, 5: 0.15, 9: 0.35, 4: 0.05}
# game -> weights of actions
GAMES = dict.fromkeys(("bigfish", "fruitbot"), FLY) | dict.fromkeys(("coinrun", "ninja"), RUN)
GAMES |= dict.fromkeys(("climber", "jumper"), JUMP)
GAMES |= dict.fromkeys(("chaser", "heist", "leaper", "maze", "miner"), WALK)
GAMES |= dict.fromkeys(("bossfight", "dodgeball", "plunder", "starpilot"), SHOOT)
GAMES["caveflyer"] = {5: 0.3, 2: 0.15, 8: 0.15, 1: 0.1, 7: 0.1, 9: 0.2}
# So many of the 15 pairs of neighbouring frames must differ by so many grey levels, mean over a frame, or the
# clip is dropped: agents run into walls. In CoinRun the camera follows the agent; else little may change.
MOVING = dict.fromkeys(GAMES, (4, 0.01)) | {"coinrun": (10, 1.0)}


class Player:
    """A random agent in one environment, and the clip that it is making. It holds an action for a while."""

    def __init__(self, weights: dict[int, float], seed: int, number: int):
        self.weights = weights
        self.rng = np.random.default_rng((seed, number))
        self.start()

    def start(self) -> None:
        """A new level."""
        self.frames, self.actions, self.held, self.action = [], [], 0, NOTHING
        self.first = int(self.rng.integers(FIRST))

    def act(self) -> int:
        """What it does next."""
        if self.held == 0:
            self.action = self.rng.choice(list(self.weights), p=list(self.weights.values()))
            self.held = self.rng.integers(HOLD[0], HOLD[1] + 1)
        self.held -= 1
        return self.action

    def see(self, picture: np.ndarray, step: int) -> None:
        """Takes what the environment shows, [3 H W], if it is a frame of the clip."""
        if step >= self.first:
            self.frames.append(picture.transpose(1, 2, 0))
            self.actions.append(self.action)


def moves(clip: np.ndarray, pairs: int, least: float) -> bool:
    """Whether `pairs` pairs of neighbouring frames differ by `least` grey levels or more."""
    change = np.abs(np.diff(clip.astype(np.int16), axis=0)).mean((1, 2, 3))
    return int((change >= least).sum()) >= pairs


def play(game: str, clips: np.ndarray, actions: np.ndarray, environments, seed: int, seen: set[int]):
    """Fills `clips` [N T H W 3] and `actions` [N T], of levels that are not in `seen`.

    `environments` is of envpool. Returns the levels in order, and how many more clips were dropped because
    too little moved. A level that ends before its clip is whole gives none, so no clip crosses a reset.
    """
    count = environments.config["num_envs"]
    players = [Player(GAMES[game], seed, i) for i in range(count)]
    levels: dict[int, None] = {}
    dropped = 0
    pictures, info = environments.reset()
    ended = np.zeros(count, bool)
    while len(levels) < len(clips):
        over = []
        for row, number in enumerate(info["env_id"]):
            player, level = players[number], int(info["level_seed"][row])
            if not ended[row]:
                player.see(pictures[row], int(info["elapsed_step"][row]))
            whole = len(player.frames) == FRAMES
            if whole and level not in levels and level not in seen and len(levels) < len(clips):
                clip = np.stack(player.frames)
                if moves(clip, *MOVING[game]):
                    clips[len(levels)], actions[len(levels)] = clip, player.actions
                    levels[level] = None
                else:
                    dropped += 1
            if ended[row] or whole:
                over.append(number)
        for number in over:
            players[number].start()
        if over:
            first, firsts = environments.reset(np.array(over, np.int32))
            for picture, number in zip(first, firsts["env_id"], strict=True):
                players[number].see(picture, 0)
        chosen = np.array([player.act() for player in players], np.int32)
        pictures, _, terminated, truncated, info = environments.step(chosen)
        ended = terminated | truncated
    return list(levels), dropped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--game", choices=GAMES, default="coinrun")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--environments", type=int, default=32)
    parser.add_argument("--clips", type=json.loads, required=True, help='JSON: {"train": 100, "test": 50}')
    flags = parser.parse_args()
    import envpool  # only main needs it

    flags.out.mkdir(parents=True, exist_ok=True)
    name = f"{flags.game.capitalize()}Hard-v0"
    manifest = {"game": name, "envpool": envpool.__version__, "hold": HOLD, "actions": GAMES[flags.game]}
    manifest |= {"seed": flags.seed, "environments": flags.environments, "splits": {}}
    seen: set[int] = set()
    for number, (split, count) in enumerate(flags.clips.items()):
        seed = 1_000 * flags.seed + 100 * number
        path, shape = flags.out / f"{split}.npy", (count, FRAMES, SIZE, SIZE, 3)
        clips = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        actions = np.zeros(shape[:2], np.uint8)
        games = envpool.make(name, env_type="gymnasium", num_envs=flags.environments, seed=seed)
        levels, dropped = play(flags.game, clips, actions, games, seed, seen)
        games.close()
        clips.flush()
        np.save(flags.out / f"{split}_actions.npy", actions)
        np.save(flags.out / f"{split}_levels.npy", np.array(levels, np.int64))
        seen |= set(levels)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        manifest["splits"][split] = {"shape": shape, "seed": seed, "sha256": digest, "dropped": dropped}
        print(flags.game, split, manifest["splits"][split], flush=True)
    (flags.out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
