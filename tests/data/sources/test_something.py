import json

import numpy as np
import pytest

from vgm_jax.data.media import write_video
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.something import Something

LABELS = {"Holding something next to something": "1", "Closing something": "0", "Tearing something": "2"}


def row(name, label, template, *things):
    return {"id": name, "label": label, "template": template, "placeholders": [*things]}


LISTS = {
    "train": [
        row("74", "holding potato next to cup", "Holding [something] next to [something]", "potato", "cup"),
        row("9", "closing a box", "Closing [something]", "a box"),
    ],
    "validation": [row("101", "tearing paper", "Tearing [something]", "paper")],
    "test": [{"id": "1420"}],
}


@pytest.fixture
def something(tmp_path):
    (tmp_path / "labels").mkdir()
    for name, content in (LISTS | {"labels": LABELS}).items():
        (tmp_path / "labels" / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "20bn-something-something-v2").mkdir()
    for i, name in enumerate(("74", "9", "101", "1420")):
        path = tmp_path / "20bn-something-something-v2" / f"{name}.webm"
        write_video(path, np.full((8, 16, 16, 3), 40 * (i + 1), np.uint8), fps=8)
    return tmp_path


def make(path, split="train", **settings):
    return Something(path, split, **({"size": 16, "frames": 4, "fps": 8} | settings))


def test_clips_classes_and_captions(something):
    source = make(something)
    assert source.class_names() == tuple(sorted(LABELS, key=LABELS.get))
    assert [round(float(source[i]["video"].mean()) / 40) for i in range(4)] == [1, 1, 2, 2]
    assert [int(source[i]["label"]) for i in range(4)] == [1, 1, 0, 0]
    assert source.caption(1) == "holding potato next to cup" and source.caption(2) == "closing a box"
    assert source.placeholders(0) == ("potato", "cup")
    assert make(something, "validation").caption(0) == "tearing paper"
    with pytest.raises(IndexError):
        source.caption(4)


def test_names_of_the_first_release(something):
    for path in (something / "labels").iterdir():
        path.rename(something / f"something-something-v2-{path.name}")
    assert len(make(something)) == 4


def test_a_test_list_without_answers_is_replaced_by_validation(something):
    with pytest.warns(UserWarning, match="no test.json with templates: test is validation"):
        assert make(something, "test").caption(0) == "tearing paper"
    (something / "labels" / "test.json").write_text(json.dumps([row("1420", "a", "Closing [something]")]))
    assert make(something, "test")[0]["label"] == 0


def test_what_stands_in_for_a_lost_clip_has_its_own_caption(something):
    source = make(something)
    (something / "20bn-something-something-v2" / "74.webm").unlink()
    assert source.caption(1) == "holding potato next to cup"
    with pytest.warns(UserWarning, match="74.webm skipped"):
        item = source[1]
    assert round(float(item["video"].mean()) / 40) == 2
    assert item["label"] == 0 and source.caption(1) == "closing a box"


def test_missing_videos_are_listed(something):
    (something / "20bn-something-something-v2" / "9.webm").unlink()
    with pytest.warns(UserWarning, match="skipped, such as 9: listed, but there is no such file"):
        assert len(make(something)) == 2


@pytest.mark.parametrize(
    "name, content, error",
    [
        ("train", "{", r"train\.json: not JSON"),
        ("train", "{}", r"train\.json: expected a list of clips, got a dict"),
        ("train", '["74"]', r"train\.json: expected clips as .* got '74'"),
        ("train", '[{"id": "74"}]', r"train\.json: clip 74 has no template"),
        (
            "train",
            '[{"id": "74", "template": "Eating [something]"}]',
            r"train\.json: class 'Eating something'",
        ),
        ("train", "[]", r"train\.json list\(s\) no video"),
        ("labels", "[]", r"labels\.json: expected .*class: number"),
        ("labels", '{"a": "0", "b": "2"}', r"labels\.json: expected the numbers 0 to 1"),
    ],
)
def test_errors_name_the_file(something, name, content, error):
    (something / "labels" / f"{name}.json").write_text(content)
    with pytest.raises(ValueError, match=error):
        make(something)


@pytest.mark.parametrize("name", ["labels", "train"])
def test_a_missing_list_is_named(something, name):
    (something / "labels" / f"{name}.json").unlink()
    with pytest.raises(FileNotFoundError, match=rf"something: there is no {name}\.json or .* in .*labels/"):
        make(something)


def test_by_a_config(something, recipe):
    data = recipe("base").unlock().data
    data.update({"source": "something", "path": str(something), "size": 16, "frames": 8, "fps": 8.0})
    source = make_source(data, "train")
    assert source[0]["video"].shape == (8, 16, 16, 3)
    assert set(json.loads(json.dumps(source.description))["lists"]) == {"labels.json", "train.json"}
