"""MSR-VTT: 10,000 web clips, 20 captions each; MSRVTT-QA: 244,000 questions about them, with answers.

Xu, Mei, Yao, Rui, CVPR 2016: https://www.microsoft.com/en-us/research/publication/
msr-vtt-a-large-video-description-dataset-for-bridging-video-and-language/. Xu et al., ACM Multimedia 2017:
https://github.com/xudejing/video-question-answering.
"""

import math
import os
from typing import Any

from vgm_jax.data.sources._clips import Entry
from vgm_jax.data.sources._lists import Listed

CATEGORIES = ("music", "people", "gaming", "sports/actions", "news/events/politics", "education", "tv shows")
CATEGORIES += ("movie/comedy", "animation", "vehicles/autos", "howto", "travel", "science/technology")
CATEGORIES += ("animals/pets", "kids/family", "documentary", "food/drink", "cooking", "beauty/fashion")
CATEGORIES += ("advertisement",)

_FOLDERS = ("annotation", "annotations", "MSRVTT-QA", "msrvtt_qa")
# All that are there are read; releases divide the same videos into one, two or three files.
_LISTS = ("MSRVTT_data.json", "videodatainfo.json", "train_val_videodatainfo.json", "test_videodatainfo.json")
_LISTS += ("videodatainfo_2016.json", "videodatainfo_2017.json")
_SPLITS = {"train": ("train",), "validation": ("validate", "val", "validation"), "test": ("test",)}
_QUESTIONS = {"train": "train_qa.json", "validation": "val_qa.json", "test": "test_qa.json"}


class MsrVtt(Listed):
    """A random access source of MSR-VTT's clips, with their captions and MSRVTT-QA's questions.

    `path` holds the captions, in one or more of MSRVTT_data.json, videodatainfo.json,
    train_val_videodatainfo.json, test_videodatainfo.json and the same with a year, there or in annotation,
    and anywhere below it video0.mp4 and so on. They are {"videos": [{"video_id", "split", "category",
    "start time", "end time"}], "sentences": [{"video_id", "caption"}]}; the label is the category.
    MSRVTT-QA's train_qa.json, val_qa.json and test_qa.json are [{"video_id": 0, "question", "answer"}].

    Args:
      cut: whether the files are the clips, as they are distributed; else they are the films from YouTube, of
        which only the listed seconds are used.
      questions: whether MSRVTT-QA's lists are there and used; `data.asked` makes items of them.

    All else is as for `Listed`; the splits are the official ones.
    """

    NAME = "msrvtt"
    OWN = ("cut", "questions")

    def __init__(
        self,
        path: str | os.PathLike,
        split: str = "train",
        *,
        cut: bool = True,
        questions: bool = False,
        **settings: Any,
    ):
        self.cut, self.questions = bool(cut), bool(questions)
        super().__init__(path, split, **settings)

    def _entries(self) -> tuple[tuple[str, ...], list[Entry]]:
        videos, captions = self._captioned()
        pairs = self._asked() if self.questions else {}
        found = self._find(list(videos))
        self._captions = {found[name][0]: tuple(captions.get(name, ())) for name in found}
        self._pairs = {found[name][0]: tuple(pairs.get(name, ())) for name in found}
        return CATEGORIES, [Entry(*found[name], *videos[name]) for name in found]

    def captions(self, index: int) -> tuple[str, ...]:
        """All captions of the video that a clip is of; none where the list has none."""
        return self._captions[self._shown(index).name]

    def caption(self, index: int) -> str:
        """The first of `captions`, or ""."""
        return next(iter(self.captions(index)), "")

    def question_answers(self, index: int) -> tuple[tuple[str, str], ...]:
        """(question, answer) pairs of the video that a clip is of; none without `questions`."""
        return self._pairs[self._shown(index).name]

    def _captioned(self) -> tuple[dict[str, tuple[int | None, float, float]], dict[str, list[str]]]:
        """Videos of the split: class, first and last second; and captions of all videos."""
        paths = [path for path in (self._list([name], _FOLDERS) for name in _LISTS) if path]
        videos: dict[str, tuple[int | None, float, float]] = {}
        captions: dict[str, list[str]] = {}
        for path in paths or [self._needed(_LISTS, _FOLDERS)]:
            content = self._json(path, dict, "{videos, sentences}")
            for row in _rows(path, content.get("videos"), "videos", ("video_id", "split")):
                if row["split"] in _SPLITS[self.split]:
                    videos[row["video_id"]] = self._video(path, row)
            here: dict[str, list[str]] = {}
            for row in _rows(path, content.get("sentences", []), "sentences", ("video_id", "caption")):
                here.setdefault(row["video_id"], []).append(row["caption"])
            captions = here | captions  # lists of several years repeat one another
        return videos, captions

    def _video(self, path: Any, row: dict[str, Any]) -> tuple[int | None, float, float]:
        label = row.get("category")
        if label is not None and label not in range(len(CATEGORIES)):
            raise ValueError(f"{path}: category {label!r} of {row['video_id']} is not in 0..19")
        if self.cut:
            return label, 0.0, math.inf
        try:
            start, end = float(row["start time"]), float(row["end time"])
        except (KeyError, TypeError, ValueError):
            start, end = 0.0, -1.0
        if not 0 <= start < end:
            raise ValueError(f"{path}: {row['video_id']} has no start time before its end time, in seconds")
        return label, start, end

    def _asked(self) -> dict[str, list[tuple[str, str]]]:
        path = self._needed([_QUESTIONS[self.split]], _FOLDERS)
        pairs: dict[str, list[tuple[str, str]]] = {}
        rows = self._json(path, list, "a list of questions")
        for row in _rows(path, rows, "questions", ("video_id", "question", "answer")):
            name = f"video{str(row['video_id']).removeprefix('video')}"
            pairs.setdefault(name, []).append((row["question"], row["answer"]))
        return pairs


def _rows(path: Any, rows: Any, what: str, keys: tuple[str, ...]) -> list[dict[str, Any]]:
    if not isinstance(rows, list):
        raise ValueError(f"{path}: expected a list under {what!r}")
    for row in rows:
        if not isinstance(row, dict) or not set(keys) <= set(row):
            raise ValueError(f"{path}: expected {what} with {', '.join(keys)}; got {row!r}")
    return rows
