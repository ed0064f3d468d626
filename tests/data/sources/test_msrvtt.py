import json

import numpy as np
import pytest

from vgm_jax.data.media import write_video
from vgm_jax.data.sources import make_source
from vgm_jax.data.sources.msrvtt import MsrVtt


def video(number, split, category=0, start=0.0, end=1.0):
    times = {"start time": start, "end time": end}
    return {"video_id": f"video{number}", "split": split, "category": category, "id": number} | times


def sentences(number, *captions):
    return [
        {"video_id": f"video{number}", "caption": caption, "sen_id": i} for i, caption in enumerate(captions)
    ]


TRAINING = {
    "info": {},
    "videos": [video(0, "train", 9, 1.0, 2.0), video(1, "train", 3), video(2, "validate", 17)],
    "sentences": sentences(1, "a man runs", "a man runs") + sentences(0, "a car", "a red car"),
}
TEST = {"videos": [video(7010, "test", 0)], "sentences": sentences(7010, "a band plays")}
QUESTIONS = [
    {"video_id": 1, "question": "who runs?", "answer": "man", "id": 0, "category_id": 3},
    {"video_id": 1, "question": "what does a man do?", "answer": "run", "id": 1, "category_id": 3},
]


@pytest.fixture
def msrvtt(tmp_path):
    (tmp_path / "train_val_videodatainfo.json").write_text(json.dumps(TRAINING))
    (tmp_path / "test_videodatainfo.json").write_text(json.dumps(TEST))
    (tmp_path / "train_qa.json").write_text(json.dumps(QUESTIONS))
    frames = np.empty((16, 16, 16, 3), np.uint8)
    for i, number in enumerate((0, 1, 2, 7010)):
        path = tmp_path / ("TestVideo" if number == 7010 else "TrainValVideo") / f"video{number}.mp4"
        path.parent.mkdir(exist_ok=True)
        frames[:] = (40 * (i + 1) + np.arange(16))[:, None, None, None]
        write_video(path, frames, fps=8)
    return tmp_path


def make(path, split="train", **settings):
    return MsrVtt(path, split, **({"size": 16, "frames": 8, "fps": 8} | settings))


def first(source):
    return [int(source[i]["video"][0].mean().round()) for i in range(len(source))]


def test_clips_captions_and_categories(msrvtt):
    source = make(msrvtt)
    np.testing.assert_allclose(first(source), [40, 48, 80, 88], atol=3)
    assert [source.class_names()[source[i]["label"]] for i in (0, 2)] == ["vehicles/autos", "sports/actions"]
    assert source.num_classes == 20
    assert source.captions(1) == ("a car", "a red car") and source.caption(0) == "a car"
    assert source.captions(2) == ("a man runs", "a man runs"), "two people may write the same"
    assert source.question_answers(2) == ()
    validation = make(msrvtt, "validation")
    assert validation.captions(0) == () and validation.caption(0) == ""
    np.testing.assert_allclose(first(make(msrvtt, "test")), [160, 168], atol=3)


def test_one_file_of_all_splits_beside_the_others_changes_nothing(msrvtt):
    everything = {name: TRAINING[name] + TEST[name] for name in ("videos", "sentences")}
    (msrvtt / "annotation").mkdir()
    (msrvtt / "annotation" / "MSRVTT_data.json").write_text(json.dumps(everything))
    source = make(msrvtt)
    assert len(source) == 4 and source.captions(0) == ("a car", "a red car")


def test_of_whole_films_only_the_listed_seconds_are_used(msrvtt):
    source = make(msrvtt, cut=False)
    np.testing.assert_allclose(first(source), [48, 80], atol=3)
    assert [source.origin(i)[1] for i in range(2)] == [1.0, 0.0]
    np.testing.assert_allclose(source[0]["times"], np.arange(8) / 8, atol=1e-6)
    native = make(msrvtt, cut=False, fps=0, frames=4)
    np.testing.assert_allclose(first(native), [48, 52, 80, 84], atol=3)


def test_questions_and_answers(msrvtt):
    source = make(msrvtt, questions=True)
    assert source.question_answers(2) == (("who runs?", "man"), ("what does a man do?", "run"))
    assert source.question_answers(0) == ()
    assert "train_qa.json" in source.description["lists"]
    with pytest.raises(FileNotFoundError, match=r"no val_qa\.json in"):
        make(msrvtt, "validation", questions=True)


def test_missing_videos_are_listed(msrvtt):
    (msrvtt / "TrainValVideo" / "video0.mp4").unlink()
    with pytest.warns(UserWarning, match="such as video0: listed, but there is no such file"):
        source = make(msrvtt)
    assert len(source) == 2 and source.caption(0) == "a man runs"


@pytest.mark.parametrize(
    "content, error",
    [
        ("[", "train_val_videodatainfo.json: not JSON"),
        ("[]", "train_val_videodatainfo.json: expected {videos, sentences}, got a list"),
        ("{}", "train_val_videodatainfo.json: expected a list under 'videos'"),
        ('{"videos": [{"video_id": "video0"}]}', "expected videos with video_id, split; got"),
        ('{"videos": [], "sentences": [{"video_id": "video0"}]}', "sentences with video_id, caption; got"),
        (json.dumps({"videos": [video(0, "train", 20)]}), "category 20 of video0 is not in 0..19"),
        (json.dumps({"videos": [video(0, "train", 2, 3, 1)]}), "video0 has no start time before its end"),
    ],
)
def test_errors_name_the_file(msrvtt, content, error):
    (msrvtt / "train_val_videodatainfo.json").write_text(content)
    with pytest.raises(ValueError, match=error) as raised:
        make(msrvtt, cut=False)
    assert "train_val_videodatainfo.json" in str(raised.value)


def test_wrong_questions_and_missing_lists_are_named(msrvtt):
    (msrvtt / "train_qa.json").write_text('[{"video_id": 1, "question": "who?"}]')
    with pytest.raises(
        ValueError, match=r"train_qa\.json: expected questions with video_id, question, answer"
    ):
        make(msrvtt, questions=True)
    for name in ("train_val", "test"):
        (msrvtt / f"{name}_videodatainfo.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no MSRVTT_data\.json or .*_2017\.json in .*annotation/"):
        make(msrvtt)


def test_by_a_config(msrvtt, recipe):
    data = recipe("base").unlock().data
    data.update({"source": "msrvtt", "path": str(msrvtt), "size": 16, "frames": 8, "fps": 8.0})
    assert make_source(data, "train")[0]["video"].shape == (8, 16, 16, 3)


def test_questions_are_items_in_words_of_the_training_split(msrvtt, recipe):
    test = [{"video_id": 7010, "question": "who plays?", "answer": "band", "id": 9, "category_id": 0}]
    (msrvtt / "test_qa.json").write_text(json.dumps(test))
    config = recipe("base").unlock()
    config.data.update(source="msrvtt", path=str(msrvtt), size=16, frames=8, fps=8.0)
    config.data.msrvtt.questions = True
    source = make_source(config.data, "train")
    assert len(source) == 4 and source.answer_names() == ("man", "run"), "two clips, two questions each"
    assert [int(source[i]["answer"]) for i in range(4)] == [0, 1, 0, 1] and "text" not in source[0]
    assert source.vocabulary.decode(source[1]["question"]) == "what does a man do"
    config.data.text.length = 5
    both = make_source(config.data, "test")
    item = both[0]
    assert both.vocabulary.decode(item["question"]) == "who ?" and item["answer"] == -1
    assert both.vocabulary.decode(item["text"]) == "a ? ?" and both.asked(0).answer == "band"
