"""The hostile corpus as training data: read in a process of its own, whose time and memory are watched."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

FRAMES, SIDE = 8, 24
SECONDS, MEBIBYTES = 120, 600  # bounds, not figures: it takes two seconds, and 230 MiB

READ_ALL = """
import json, resource, sys, warnings
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
warnings.simplefilter("ignore")
import numpy as np
from vgm_jax.data.pipeline import train_batches
from vgm_jax.data.sources.folder import Folder
root, out, frames, side = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
source = Folder(root, size=side, frames=frames, fps=12, audio=True)
early = list(source.rejected)
batches = train_batches(source, batch_size=4, seed=0)
epoch = [next(batches)["video"] for _ in range(-(-len(source) // 4))]
clips = np.stack([source[i]["video"] for i in range(len(source))])
np.save(out + "/clips.npy", clips)
report = {"origins": [source.origin(i) for i in range(len(source))], "early": early}
report["captions"] = [source.caption(i) for i in range(len(source))]
report |= {"rejected": source.rejected, "trained": [batch.shape for batch in epoch]}
# Not ru_maxrss, which a process inherits from the one that started it.
with open("/proc/self/status") as file:
    report["mebibytes"] = int(file.read().split("VmHWM:")[1].split()[0]) / 1024
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def outcome(hostile, tmp_path_factory):
    """What the process reports, and its clips."""
    root, _ = hostile
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, "-c", READ_ALL, str(root), str(out), str(FRAMES), str(SIDE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), np.load(out / "clips.npy")


def test_the_corpus_is_one(hostile):
    _, expected = hostile
    good = [name for name, e in expected.items() if e.reason is None]
    assert len(expected) >= 80 and len(good) >= 40 and len(expected) - len(good) >= 40


def test_every_bad_file_is_listed_with_its_reason_and_no_good_one(hostile, outcome):
    _, expected = hostile
    report, _ = outcome
    early, rejected = dict(report["early"]), dict(report["rejected"])
    assert len(report["rejected"]) == len(rejected)
    bad = {name: e for name, e in expected.items() if e.reason is not None}
    assert set(rejected) == set(bad)
    assert set(early) == {name for name, e in bad.items() if not e.late}
    wrong = {name: rejected[name] for name, e in bad.items() if not re.search(e.reason, rejected[name])}
    assert not wrong


def test_what_is_good_is_all_there_and_as_it_should_look(hostile, outcome, as_seen):
    _, expected = hostile
    report, clips = outcome
    seen = {}
    for (name, start), clip in zip(report["origins"], clips, strict=True):
        e, first = expected[name], round(start * 12)
        if e.late and first:  # after the damage the next video stands in
            continue
        want = as_seen(e.video, SIDE)
        error = np.abs(clip - want[first : first + FRAMES]).mean()
        assert error < 3, (name, start, error)
        if e.usual:  # a frame too early or too late would be found out
            other = want[first + 1 : first + 1 + FRAMES]
            assert np.abs(clip[: len(other)] - other).mean() > 6, name
        seen.setdefault(name, []).append(first)
    assert set(seen) == {name for name, e in expected.items() if e.video is not None}
    for name, firsts in seen.items():
        e = expected[name]
        if not e.late:
            # The last frame of some containers has no duration, and may end before it counts.
            assert len(firsts) >= (len(e.video) - 1) // FRAMES, name
            assert firsts == list(range(0, FRAMES * len(firsts), FRAMES)), name


def test_training_runs_and_memory_is_bounded(outcome):
    report, clips = outcome
    assert {tuple(shape) for shape in report["trained"]} == {(4, FRAMES, SIDE, SIDE, 3)}
    assert 4 * len(report["trained"]) >= len(clips)
    assert report["mebibytes"] < MEBIBYTES


def test_captions_that_are_broken_are_none(outcome):
    report, _ = outcome
    found = {}
    for (name, start), caption in zip(report["origins"], report["captions"], strict=True):
        if start == 0 and caption:
            found[name] = caption
    assert found.pop("utf_16.mp4") == found.pop("latin.mp4") == "Caf\u00e9"
    assert set(found) <= {"broken.mp4", "binary.mp4"}  # of which some may be read


def test_nothing_is_unpickled_or_written(hostile, outcome):
    root, _ = hostile
    assert outcome and not (root / "UNPICKLED").exists()
    np.load(root / "objects.npy", allow_pickle=True)  # it is loaded
    assert (root / "UNPICKLED").exists()
    (root / "UNPICKLED").rmdir()
