"""Something-Something V2: 220,847 clips of people who do something with something, 174 classes.

https://www.qualcomm.com/developer/software/something-something-v-2-dataset; Goyal et al.: arXiv 1706.04261.
"""

import warnings
from typing import Any

from vgm_jax.data.sources._clips import Entry
from vgm_jax.data.sources._lists import Listed

_FOLDERS = ("labels", "annotations")
_PREFIX = "something-something-v2-"  # of the lists, in the first release


class Something(Listed):
    """A random access source of Something-Something V2's clips.

    `path` holds labels.json (class -> number), train.json, validation.json and perhaps test.json, there or in
    labels or annotations, and perhaps as something-something-v2-train.json and so on, and anywhere below it
    <id>.webm. A list is of {"id", "label", "template", "placeholders"}: the class is the template without its
    brackets, the caption is the label, in which things have their names. The official test list has neither:
    "test" is then "validation", with a warning.

    Many classes tell left from right: a clip that is flipped is of another class.
    """

    NAME = "something"

    def _entries(self) -> tuple[list[str], list[Entry]]:
        labels = self._classes()
        rows = self._rows(self.split, labels)
        found = self._find(list(rows))
        entries = [Entry(*found[stem], label=labels[_class(rows[stem])]) for stem in found]
        self._texts = {
            found[stem][0]: (rows[stem].get("label", ""), tuple(rows[stem].get("placeholders", ())))
            for stem in found
        }
        return list(labels), entries

    def caption(self, index: int) -> str:
        """What is done with what, such as "holding potato next to vicks vaporub bottle"."""
        return self._texts[self._shown(index).name][0]

    def placeholders(self, index: int) -> tuple[str, ...]:
        """What each "something" is, in the order of the class's name, such as ("potato", "a bottle")."""
        return self._texts[self._shown(index).name][1]

    def _classes(self) -> dict[str, int]:
        path = self._needed(["labels.json", f"{_PREFIX}labels.json"], _FOLDERS)
        content = self._json(path, dict, "{class: number}")
        if sorted(map(str, content.values())) != sorted(map(str, range(len(content)))):
            raise ValueError(f"{path}: expected the numbers 0 to {len(content) - 1}, each of one class")
        return {name: int(content[name]) for name in sorted(content, key=lambda name: int(content[name]))}

    def _rows(self, split: str, labels: dict[str, int]) -> dict[str, dict[str, Any]]:
        """Id -> its row of the list."""
        names = [f"{split}.json", f"{_PREFIX}{split}.json"]
        path = self._list(names, _FOLDERS) if split == "test" else self._needed(names, _FOLDERS)
        rows = [] if path is None else self._json(path, list, "a list of clips")
        for row in rows:
            if not isinstance(row, dict) or "id" not in row:
                raise ValueError(f"{path}: expected clips as {{id, label, template}}, got {row!r}")
        if split == "test" and not all("template" in row for row in rows[:1] or [{}]):
            warnings.warn(f"{self.path}: no test.json with templates: test is validation", stacklevel=5)
            return self._rows("validation", labels)
        for row in rows:
            if "template" not in row:
                raise ValueError(f"{path}: clip {row['id']} has no template")
            if _class(row) not in labels:
                raise ValueError(f"{path}: class {_class(row)!r} of clip {row['id']} is not in labels.json")
        return {str(row["id"]): row for row in rows}


def _class(row: dict[str, Any]) -> str:
    return str(row["template"]).replace("[", "").replace("]", "")
