"""What is found in a folder, and what is said of it."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from vgm_jax.data.sources.prepared import open_prepared
from vgm_jax.preparation.finding import find, stamp
from vgm_jax.preparation.prepare import prepare


def run(src, out, settings, cheap, **more):
    return prepare(src, out, settings, workers=0, process=cheap.process, **more)


def test_a_number_sign_in_a_name_is_part_of_it(tmp_path, cheap, settings, save):
    for name in ("clip #1", "clip #2", "clip #3"):
        save(tmp_path / "src" / f"{name}.npy")
    np.save(
        tmp_path / "src" / "many.npy", np.random.default_rng(0).integers(8, 256, (2, 8, 8, 8, 3), np.uint8)
    )
    summary = run(tmp_path / "src", tmp_path / "out", settings, cheap)
    assert summary["videos"] == 4 and summary["used"] == 5, "an .npy of two clips is one video"


def test_folders_whose_names_are_no_text_are_classes(tmp_path, cheap, settings, save):
    for name in (b"caf\xe8", b"caf\xe9", "caf\u00ea".encode()):
        save(tmp_path / "src" / os.fsdecode(name) / "a.npy", seed=name[-1])
    run(tmp_path / "src", tmp_path / "out", settings, cheap)
    builder = tfds.builder_from_directory(str(tmp_path / "out"))
    assert builder.info.features["label"].names == ["caf\\xe8", "caf\\xe9", "caf\u00ea"]


def test_captions_that_cannot_be_read_are_warned_of(tmp_path, cheap, settings, save):
    src = tmp_path / "src"
    for i in range(8):
        save(src / "walks" / f"v{i}.npy")
        (src / "walks" / f"v{i}.json").write_text("{" if i else '{"caption": "a dog"}')
    (src / "captions.csv").write_text("of,said\nv0.npy,a cat\n")
    (warning,) = run(src, tmp_path / "out", settings, cheap)["warnings"]
    assert "walks/v1.json: Expecting" in warning and "captions.csv: no row with one of file" in warning
    assert "v0.json" not in warning and "v7.json" not in warning and warning.endswith("and 3 more")
    assert warning in (tmp_path / "out" / "report.html").read_text().replace("&#x27;", "'").replace(
        "&quot;", '"'
    )


def test_a_cover_beside_the_groups_is_in_none(tmp_path, save):
    save(tmp_path / "src" / "patient 1" / "a.npy")
    save(tmp_path / "src" / "patient 2" / "b.npy")
    Image.new("RGB", (8, 8)).save(tmp_path / "src" / "logo.png")
    found = find(tmp_path / "src", tmp_path / "out", groups=True)
    assert {source.group for source in found.sources} == {"patient 1", "patient 2"}
    assert [rejection.detail for _, rejection in found.rejected] == ["pictures in no group's folder"]
    (tmp_path / "src" / "patient 3").mkdir()  # a patient whose folder is the film
    Image.new("RGB", (8, 8)).save(tmp_path / "src" / "patient 3" / "1.png")
    sources = find(tmp_path / "src", tmp_path / "out", groups=True).sources
    assert [source.name for source in sources if not source.group] == ["patient 3"], "which prepare refuses"


def test_a_file_that_may_be_read_again_is_another_one(tmp_path, save, monkeypatch):
    save(tmp_path / "src" / "a.npy")
    (source,) = find(tmp_path / "src", tmp_path / "out").sources
    known = stamp(source)
    assert stamp(source) == known
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert stamp(source) != known
    (tmp_path / "src" / "a.npy").touch()
    assert stamp(source) != known


def test_one_group_alone_is_warned_of(tmp_path, cheap, settings, save):
    save(tmp_path / "src" / "anna" / "a.npy")
    save(tmp_path / "src" / "anna" / "b.npy")
    save(tmp_path / "src" / "ben" / "short.npy", frames=2)
    summary = run(tmp_path / "src", tmp_path / "out", settings, cheap, groups=True)
    assert summary["warnings"] == ["all clips are of anna: validation and test are of the training's group"]
    with pytest.raises(ValueError, match="groups=True, but it was not split by group"):
        open_prepared(tmp_path / "out", size=8, frames=4, fps=8.0, groups=True)


@pytest.mark.parametrize("again", [False, True])
def test_folders_of_splits_are_by_group_where_no_group_is_in_two(tmp_path, cheap, settings, save, again):
    for i, name in enumerate(("train/anna", "train/ben", "test/anna" if again else "test/carl")):
        save(tmp_path / "src" / name / "v.npy", seed=i)
    summary = run(tmp_path / "src", tmp_path / "out", settings, cheap, groups=True)
    apart = "with groups, but the folders of the splits do not keep groups apart"
    assert (apart in summary["warnings"]) == again
    given = dict(size=8, frames=4, fps=8.0, groups=True)
    if again:
        with pytest.raises(ValueError, match="not split by group"):
            open_prepared(tmp_path / "out", **given)
    else:
        assert len(open_prepared(tmp_path / "out", **given))


@pytest.mark.parametrize("count", [1, 4])
def test_of_the_pictures_only_as_many_are_held_as_are_shown(tmp_path, cheap, settings, count, monkeypatch):
    (tmp_path / "src").mkdir()
    for i in range(count):
        video = np.random.default_rng(i).integers(8, 256, (12, 8, 8, 3), np.uint8)
        video[4:] = 0
        np.save(tmp_path / "src" / f"v{i}.npy", video)
    held = []

    def choose(found, jobs, results, *division):
        held.extend(item["picture"] for result in results.values() for item in result["rejections"])
        return chosen(found, jobs, results, *division)

    from vgm_jax.preparation import prepare as module

    chosen = module.choose
    monkeypatch.setattr(module, "choose", choose)
    run(tmp_path / "src", tmp_path / "out", settings, cheap)
    assert len(held) == 2 * count and sum(picture is not None for picture in held) == min(2 * count, 6)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png") == min(2 * count, 6)
