"""The protocol of TVSum and SumMe: from scores of frames to a summary within a budget, and what it is worth.

Zhang et al., ECCV 2016 (arXiv 1605.08110), sec. 4.1; Zhou et al., AAAI 2018 (arXiv 1801.00054); ranks: Otani
et al., CVPR 2019 (arXiv 1903.11328).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from vgm_jax.data.budget import frames_of, knapsack, summarize

__all__ = ["anchors", "f_scores", "frame_scores", "frames_of", "human", "judge", "kendall", "knapsack"]
__all__ += ["scores_picture", "spearman", "summarize"]

RANDOM_DRAWS = 20  # of random scores, whose mean is the anchor
REDUCE = {"mean": np.mean, "max": np.max}  # over annotators
PICTURE = (96, 480)  # height and width of a film's curves
SHOWN, TRUE, CHOSEN = (200, 40, 60), (120, 120, 120), (205, 225, 250)


def frame_scores(scores: np.ndarray, picks: np.ndarray, frames: int) -> np.ndarray:
    """Scores of all frames: a picked one's [n] holds up to the next one; before the first they are 0."""
    scores, picks = np.asarray(scores, np.float64), np.asarray(picks)
    reach = np.diff(np.append(picks, max(frames, picks[-1])))
    return np.concatenate([np.zeros(picks[0]), np.repeat(scores, reach)])[:frames]


def f_scores(summary: np.ndarray, annotators: np.ndarray) -> np.ndarray:
    """2PR / (P + R) of a summary's frames against each annotator's: [F], [A F] -> float64 [A]."""
    summary, annotators = np.asarray(summary, np.float64), np.asarray(annotators, np.float64)
    overlap = annotators @ summary
    return 2 * overlap / np.maximum(annotators.sum(1) + summary.sum(), 1)


def kendall(x: np.ndarray, y: np.ndarray) -> float:
    """Kendall's tau-b of two rows [N], which makes allowance for ties; 0 where one of them is constant."""
    upper = np.triu_indices(len(x), 1)
    a, b = (np.sign(np.subtract.outer(row, row))[upper] for row in (np.asarray(x), np.asarray(y)))
    untied = math.sqrt(np.abs(a).sum() * np.abs(b).sum())
    return float((a * b).sum() / untied) if untied else 0.0


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho of two rows [N]: the correlation of their ranks; 0 where one of them is constant."""
    a, b = (_ranks(row) - (len(row) - 1) / 2 for row in (np.asarray(x), np.asarray(y)))
    spread = math.sqrt((a @ a) * (b @ b))
    return float(a @ b / spread) if spread else 0.0


def _ranks(row: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, where, counts = np.unique(row, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[where]


def judge(scores: np.ndarray, video: Mapping[str, Any], budget: float, reduce: str) -> dict[str, float]:
    """What scores of picked frames [n] are worth: "f" by the protocol; "tau" and "rho", means of annotators'.

    Ranks are compared with the annotators' scores of the picked frames where the video has them
    ("user_scores"), else with their summaries.

    Args:
      scores: not negative.
      video: "shots", "user_summary", "picks" and "n_frames", as `data.sources.summaries` gives them.
      budget: part of the frames.
      reduce: "mean" (TVSum) or "max" (SumMe): how the annotators' F become one.
    """
    frames = int(video["n_frames"])
    chosen = summarize(frame_scores(scores, video["picks"], frames), video["shots"], budget)
    found = f_scores(frames_of(chosen, video["shots"], frames), video["user_summary"])
    ranks = _annotated(video)
    return {
        "f": float(REDUCE[reduce](found)),
        "tau": float(np.mean([kendall(scores, row) for row in ranks])),
        "rho": float(np.mean([spearman(scores, row) for row in ranks])),
    }


def _annotated(video: Mapping[str, Any]) -> np.ndarray:
    """Annotators' scores of the picked frames, [A n]."""
    rows = video["user_scores"] if "user_scores" in video else video["user_summary"]
    return np.asarray(rows, np.float64)[:, video["picks"]]


def human(video: Mapping[str, Any], reduce: str) -> dict[str, float]:
    """What an annotator is worth by the others, on average: each is left out, and judged by the rest.

    "f" of their summaries; "tau" and "rho" of their scores, or summaries where there are none. Raises
    ValueError for a single annotator.
    """
    summaries, ranks = np.asarray(video["user_summary"]), _annotated(video)
    count = len(summaries)
    if count < 2:
        raise ValueError("what annotators are worth by one another needs two of them")
    others = [np.arange(count) != i for i in range(count)]
    f = [REDUCE[reduce](f_scores(summaries[i], summaries[rest])) for i, rest in enumerate(others)]
    pairs = [(i, j) for i in range(count) for j in range(i)]  # what is said of a pair is symmetric
    return {
        "f": float(np.mean(f)),
        "tau": float(np.mean([kendall(ranks[i], ranks[j]) for i, j in pairs])),
        "rho": float(np.mean([spearman(ranks[i], ranks[j]) for i, j in pairs])),
    }


def anchors(
    video: Mapping[str, Any], budget: float, reduce: str, seed: int = 0
) -> dict[str, dict[str, float]]:
    """What needs no model, each as `judge` gives it.

    "random" scores (mean over draws); all "equal", so that the shortest shots are taken; "uniform": moments
    evenly over the film; "middle": scores that fall from the film's middle to its ends; "oracle": the
    annotators' mean "importance" itself, where the video has it; "human", where there are several annotators.
    """
    rng, n = np.random.default_rng(seed), len(video["picks"])
    draws = [judge(rng.random(n), video, budget, reduce) for _ in range(RANDOM_DRAWS)]
    middle = 1.0 - np.abs(np.linspace(-1.0, 1.0, n)) if n > 1 else np.ones(1)
    found = {
        "random": {name: float(np.mean([d[name] for d in draws])) for name in draws[0]},
        "equal": judge(np.ones(n), video, budget, reduce),
        "uniform": judge((np.arange(n) * budget % 1 < budget).astype(float), video, budget, reduce),
        "middle": judge(middle, video, budget, reduce),
    }
    if "importance" in video:
        found["oracle"] = judge(np.maximum(video["importance"], 0.0), video, budget, reduce)
    return found | ({"human": human(video, reduce)} if len(video["user_summary"]) > 1 else {})


def scores_picture(scores: np.ndarray, video: Mapping[str, Any], budget: float) -> np.ndarray:
    """A film from left to right, uint8 [H W 3]: the scores of its moments [n] in red, "importance" in grey.

    Both from their least value, below, to their greatest; behind them, in blue, the shots of the summary.
    """
    height, width = PICTURE
    frames = int(video["n_frames"])
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    chosen = summarize(frame_scores(scores, video["picks"], frames), video["shots"], budget)
    for first, stop in np.asarray(video["shots"])[chosen] * width / frames:
        draw.rectangle((first, 0, stop, height), CHOSEN)
    for row, colour in ((video["importance"], TRUE), (scores, SHOWN)):
        row = np.asarray(row, np.float64)
        level = (row - row.min()) / max(float(np.ptp(row)), 1e-9)
        x = np.asarray(video["picks"]) * width / frames
        y = (height - 6) * (1 - level) + 3
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), colour, 2)
    return np.asarray(page)
