"""The collector's memory: what it has begun and finished, so that a kill loses nothing."""

import collections
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgm_jax.data.files import hold

Entry = dict[str, Any]


@contextlib.contextmanager
def only_one(path: Path, otherwise: str) -> Iterator[None]:
    """Holds a file that only one process can; a kill frees it. Raises RuntimeError, saying `otherwise`."""
    with path.open("a+b") as file:
        try:
            hold(file, path.parent, "works")
        except BlockingIOError:
            raise RuntimeError(otherwise) from None
        yield


class Journal:
    """What was begun and finished, a line each; a line that a kill cut short counts as never written.

    `begun`, by name of a part: validator (the server's ETag or date) and total bytes of the file whose
    beginning that part holds. A line is written when the part is empty.
    `finished`, by the first source of a job: file, bytes, sha256, and whether it was probed. A line is
    written when the part is verified, before it is renamed: a file that the journal lacks is somebody else's.
    """

    def __init__(self, path: Path):
        self.begun, self.finished = {}, {}
        self._by_content = collections.defaultdict(dict)
        self._lock = threading.Lock()
        self._file = path.open("a+b")
        try:
            hold(self._file, path.parent.parent, "collects")
        except BlockingIOError:
            self._file.close()
            raise RuntimeError(f"another process is collecting into {path.parent.parent}") from None
        self._file.seek(0)
        content = self._file.read()
        for line in content.splitlines():
            try:
                self._take(json.loads(line))
            except ValueError:
                continue
        if content and not content.endswith(b"\n"):
            self._file.write(b"\n")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def add(self, **entry) -> Entry:
        with self._lock:
            self._file.write(json.dumps(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._take(entry)
        return entry

    def with_content(self, sha256: str | None) -> list[Entry]:
        """What is finished and has this checksum."""
        with self._lock:
            return list(self._by_content[sha256].values())

    def _take(self, entry: Entry) -> None:
        old = self.finished.pop(entry["job"], None)
        if old is not None:
            del self._by_content[old["sha256"]][old["job"]]
        if "file" in entry:
            self.finished[entry["job"]] = self._by_content[entry["sha256"]][entry["job"]] = entry
        else:
            self.begun[entry["part"]] = entry
