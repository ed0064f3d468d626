"""`vgm prepare` over the hostile corpus."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vgm_jax.preparation import source as module
from vgm_jax.preparation.prepare import prepare
from vgm_jax.preparation.records import REASONS, Settings

FRAMES, SIDE = 8, 24
CLI = "import sys; from vgm_jax.cli import main; sys.exit(main())"


@pytest.fixture(scope="module", params=["no cuts", pytest.param("command", marks=pytest.mark.slow)])
def prepared(request, hostile, tmp_path_factory):
    """A data set of the corpus: without looking for cuts, which is what takes time; or by the command."""
    root, _ = hostile
    out = tmp_path_factory.mktemp("prepared") / "out"
    if request.param == "command":
        flags = ["--size", str(SIDE), "--frames", str(FRAMES), "--fps", "12", "--out", str(out)]
        command = [sys.executable, "-c", CLI, "prepare", str(root), *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
        return out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "transition_probabilities", lambda frames: ((0.0, 0.0) for _ in frames))
        prepare(root, out, Settings(size=SIDE, fps=12.0, frames=FRAMES), workers=0)
    return out


def as_text(name):
    """What a data set calls a file whose name is no text."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


@pytest.fixture(scope="module")
def rejected(prepared):
    """(source, "reason: detail") of each line."""
    lines = [json.loads(line) for line in (prepared / "rejected.jsonl").read_text().splitlines()]
    assert {line["reason"] for line in lines} <= set(REASONS)
    return [(line["source"], f"{line['reason']}: {line['detail']}") for line in lines]


def test_every_bad_file_is_listed_with_its_reason(hostile, rejected):
    _, expected = hostile
    for name, e in expected.items():
        said = [why for source, why in rejected if source == name]
        if e.reason is not None:
            assert any(re.search(e.reason, why) for why in said), (name, said)
        elif not e.usual:
            assert any(why.startswith("frozen") for why in said), (name, said)
        else:  # nothing but what is left over after its last clip
            assert all(why.startswith("too short") for why in said), (name, said)


def test_the_good_half_is_all_there(hostile, prepared, as_seen):
    _, expected = hostile
    builder = tfds.builder_from_directory(str(prepared))
    kept = {}
    for split in builder.info.splits:
        for clip in builder.as_data_source(split):
            kept[clip["source"].decode(), round(float(clip["start"]) * 12)] = clip
    usual = {as_text(name): e.video for name, e in expected.items() if e.video is not None and e.usual}
    assert {name for name, _ in kept} == set(usual)
    for (name, first), clip in kept.items():
        if name != "alpha.mov":  # what is transparent in it, and so black, is cut off as a bar
            want = as_seen(usual[name][first : first + FRAMES], SIDE)
            assert np.abs(clip["video"] - want).mean() < 3, (name, first)
    assert not (hostile[0] / "UNPICKLED").exists()
