"""UCF-101: sports and daily actions, 101 classes, 13,320 clips, three official splits.

https://www.crcv.ucf.edu/data/UCF101.php; Soomro, Zamir, Shah: arXiv 1212.0402.
"""

import operator
import os
import re
from pathlib import Path
from typing import Any

from vgm_jax.data.sources._clips import Entry
from vgm_jax.data.sources._lists import Listed, held_out

_FOLDERS = ("ucfTrainTestlist",)  # as the archive of lists unpacks
_GROUP = re.compile(r"_g(\d+)_c\d+$")


class Ucf101(Listed):
    """A random access source of UCF-101's clips, by one of its official splits.

    `path` holds v_<class>_g<group>_c<clip>.avi in class folders, and classInd.txt, trainlist01.txt and
    testlist01.txt, there or in ucfTrainTestlist. "test" is the official test list. Clips of one group are cut
    from one film, so "validation" is a tenth of the groups of the train list, by a hash of `seed`, and
    "train" is the others.

    Args:
      number: of the official split, 1 to 3.
      seed: of which groups are for validation.

    All else is as for `Listed`.
    """

    NAME = "ucf101"
    OWN = ("number", "seed")

    def __init__(
        self,
        path: str | os.PathLike,
        split: str = "train",
        *,
        number: int = 1,
        seed: int = 0,
        **settings: Any,
    ):
        self.number, self.seed = operator.index(number), operator.index(seed)
        if self.number not in (1, 2, 3):
            raise ValueError(f"ucf101: number of the official split must be 1, 2 or 3; got {number}")
        super().__init__(path, split, **settings)

    def _entries(self) -> tuple[list[str], list[Entry]]:
        classes = self._classes()
        kind = "test" if self.split == "test" else "train"
        listed = self._needed([f"{kind}list{self.number:02d}.txt"], _FOLDERS)
        labels = self._labels_of(listed, classes)
        if self.split != "test":
            groups = {stem: _group(listed, stem) for stem in labels}
            held = held_out(list(groups.values()), self.seed, listed)
            wanted = self.split != "train"
            labels = {stem: label for stem, label in labels.items() if (groups[stem] in held) == wanted}
        found = self._find(list(labels))
        return list(classes), [Entry(*found[stem], label=labels[stem]) for stem in found]

    def group(self, index: int) -> str:
        """The group that a clip is of, such as "08"."""
        return _GROUP.search(Path(self._shown(index).name).stem).group(1)

    def _classes(self) -> dict[str, int]:
        path = self._needed(["classInd.txt"], _FOLDERS)
        classes: dict[str, int] = {}
        for number, line in enumerate(self._text(path).splitlines(), 1):
            fields = line.split()
            if fields and (len(fields) != 2 or fields[0] != str(len(classes) + 1)):
                raise ValueError(f"{path}:{number}: expected {len(classes) + 1} and a class, got {line!r}")
            if fields:
                classes[fields[1]] = len(classes)
        return classes

    def _labels_of(self, path: Path, classes: dict[str, int]) -> dict[str, int]:
        """Video without folder and suffix -> class, of lines "class/video.avi", perhaps with " number"."""
        labels = {}
        for number, line in enumerate(self._text(path).splitlines(), 1):
            if not line.strip():
                continue
            name, *given = line.split()
            folder, _, video = name.rpartition("/")
            if folder not in classes:
                raise ValueError(f"{path}:{number}: class {folder!r} of {name} is not in classInd.txt")
            if given and given != [str(classes[folder] + 1)]:
                right = classes[folder] + 1
                raise ValueError(f"{path}:{number}: {folder} is {right} in classInd.txt, not {given[0]}")
            labels[Path(video).stem] = classes[folder]
        return labels


def _group(path: Path, stem: str) -> str:
    match = _GROUP.search(stem)
    if match is None:
        raise ValueError(f"{path}: expected names as v_<class>_g01_c01.avi, got {stem}")
    return match.group(1)
