"""Kinetics 400, 600 and 700: human actions, ten seconds a clip, from YouTube.

https://deepmind.google/research/open-source/kinetics and https://github.com/cvdfoundation/kinetics-dataset;
Kay et al.: arXiv 1705.06950; Carreira et al.: arXiv 1808.01340; Smaira et al.: arXiv 2010.10864.
"""

import csv
import warnings
from pathlib import Path

from vgm_jax.data.sources._clips import Entry
from vgm_jax.data.sources._lists import Listed

# split -> what it is called in the file names and the column "split" of one release or another.
_ALIASES = {"train": ("train",), "validation": ("val", "validate", "validation"), "test": ("test",)}
_FOLDERS = ("annotations",)
_COLUMNS = ("youtube_id", "time_start", "time_end")


class Kinetics(Listed):
    """A random access source of Kinetics' clips.

    `path` holds train.csv, val.csv (or validate.csv, validation.csv) and test.csv, there or in annotations,
    of columns label, youtube_id, time_start, time_end (seconds) and perhaps split, and anywhere below it the
    clips, already cut: <youtube_id>_<start>_<end>.mp4, seconds in six digits. Many are gone from YouTube:
    what is not there is listed in `rejected`.

    Classes are those of train.csv, in alphabetic order, whatever the split. Where there is no test.csv, or it
    has no labels, "test" is "validation", with a warning.
    """

    NAME = "kinetics"

    def _entries(self) -> tuple[list[str], list[Entry]]:
        train = self._rows("train")
        names = sorted(set(train.values()))
        labels = {name: i for i, name in enumerate(names)}
        rows = train if self.split == "train" else self._rows(self.split)
        unknown = next((stem for stem, label in rows.items() if label not in labels), None)
        if unknown is not None:
            raise ValueError(
                f"{self.path}: class {rows[unknown]!r} of {unknown}, for {self.split}, is not in train.csv"
            )
        found = self._find(list(rows))
        return names, [Entry(*found[stem], label=labels[rows[stem]]) for stem in found]

    def _rows(self, split: str) -> dict[str, str]:
        """Name of the clip's file, without suffix -> class."""
        names = [f"{alias}.csv" for alias in _ALIASES[split]]
        path = self._list(names, _FOLDERS) if split == "test" else self._needed(names, _FOLDERS)
        columns, table = ([], []) if path is None else self._table(path)
        if split == "test" and "label" not in columns:
            warnings.warn(f"{self.path}: no test.csv with labels: test is validation", stacklevel=5)
            return self._rows("validation")
        if not {"label", *_COLUMNS} <= set(columns):
            raise ValueError(
                f"{path}: expected columns label, {', '.join(_COLUMNS)}; got {', '.join(columns) or 'none'}"
            )
        rows = {}
        for line, row in table:
            try:
                start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
            except (TypeError, ValueError):
                raise ValueError(f"{path}:{line}: expected seconds in time_start and time_end") from None
            if not row["label"] or not row["youtube_id"]:
                raise ValueError(f"{path}:{line}: expected a label and a youtube_id")
            if not row.get("split") or row["split"] in _ALIASES[split]:
                rows[f"{row['youtube_id']}_{start:06d}_{end:06d}"] = row["label"]
        return rows

    def _table(self, path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
        """Columns, and (line, row) of each row."""
        reader = csv.DictReader(self._text(path).splitlines())
        return list(reader.fieldnames or []), [(reader.line_num, row) for row in reader]
