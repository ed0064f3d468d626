import errno
import fcntl
import json

import numpy as np
import pytest

from vgm_jax.data.text import Vocabulary
from vgm_jax.training.workdir import (
    WorkdirError,
    claim,
    differences,
    lock,
    note_classes,
    note_data,
    note_words,
    plain,
    read_answers,
    read_classes,
    read_config,
    read_vocabulary,
)


def test_a_claimed_folder_holds_the_config(tiny, tmp_path):
    claim(tmp_path / "a" / "run", tiny())
    assert plain(read_config(tmp_path / "a" / "run")) == plain(tiny())
    assert json.loads((tmp_path / "a" / "run" / "config.json").read_text())["data"]["batch_size"] == 8
    assert [path.name for path in (tmp_path / "a" / "run").iterdir()] == ["config.json"]


def test_only_the_primary_process_writes(tiny, tmp_path):
    claim(tmp_path / "run", tiny(), primary=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("primary", [True, False])
def test_another_config_is_refused_by_name(tiny, tmp_path, primary):
    claim(tmp_path, tiny())
    before = (tmp_path / "config.json").read_bytes()
    other = tiny()
    other.seed = 7
    other.data.batch_size = 16
    other.model.generator.widths = (16, 8)
    with pytest.raises(WorkdirError) as error:
        claim(tmp_path, other, primary)
    for line in ("seed: 0 -> 7", "data.batch_size: 8 -> 16", "model.generator.widths: [16] -> [16, 8]"):
        assert line in str(error.value)
    assert "--workdir" in str(error.value) and str(tmp_path) in str(error.value)
    assert (tmp_path / "config.json").read_bytes() == before


def test_what_does_not_change_what_is_learnt_may_change(tiny, tmp_path):
    claim(tmp_path, tiny())
    longer = tiny()
    longer.train.steps = 99
    longer.checkpoint.every = 3
    longer.evaluate.clips = 32
    longer.partition.mode = "pmap"
    longer.data.workers, longer.data.prefetch = 3, 5
    claim(tmp_path, longer)
    assert read_config(tmp_path).train.steps == 99


class Clips(list):
    """A source of clips with class names."""

    def __init__(self, clips, names=("cat", "dog")):
        super().__init__({"video": np.full((2, 4, 4, 3), x, np.uint8)} for x in clips)
        self.class_names = lambda: names


def test_data_may_move(tiny, tmp_path):
    moved = tiny()
    moved.data.path = "elsewhere"
    claim(tmp_path, tiny())
    with pytest.raises(WorkdirError, match="data.path:  -> elsewhere"):
        claim(tmp_path, moved)  # nobody can tell whether they are the same
    note_data(tmp_path, Clips([1, 2]), "here")
    claim(tmp_path, moved)
    assert read_config(tmp_path).data.path == "elsewhere"


def test_other_data_are_noticed(tmp_path):
    note_data(tmp_path, Clips([1, 2]), "here", write=False)
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        note_data(tmp_path, Clips([1, 2]), "here")
    for other, message in (
        (Clips([1, 2, 3]), "clips: 2 -> 3"),
        (Clips([1, 2], ("dog", "cat")), r"classes: \['cat', 'dog'\] -> \['dog', 'cat'\]"),
        (Clips([3, 2]), "first clip: "),
    ):
        for write in (True, False):
            with pytest.raises(WorkdirError, match=f"the training data of .* have changed .{message}"):
                note_data(tmp_path, other, "there", write)
    note_data(tmp_path, Clips([1, 2]), "here")
    note_data(tmp_path, Clips([3, 2]), "here")  # as another machine may read it
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(WorkdirError, match=r"data.json is torn .*; remove it"):
        note_data(tmp_path, Clips([1, 2]), "here")


def test_a_workdir_that_is_older_than_a_key_goes_on(tiny, tmp_path):
    """Without what was added to base later on."""
    old = plain(tiny())
    for name in [name for name in old["objective"] if name.startswith("augment")]:
        del old["objective"][name]
    for section, name in (("folder", "audio"), ("folder", "groups"), ("tfds", "audio")):
        del old["data"][section][name]
    del old["train"]["minutes"], old["checkpoint"]["minutes"], old["evaluate"]["views"]
    for name in ("modalities", "modality_drop", "trunk", "start", "frozen"):
        del old["model"][name]
    for name in ("mixup", "label_smoothing", "hidden", "codes_noise_far"):
        del old["objective"][name]
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert plain(read_config(tmp_path)) == plain(tiny())
    other = tiny()
    other.objective.augment = "colour"
    with pytest.raises(WorkdirError, match="objective.augment:  -> colour"):
        claim(tmp_path, other)
    claim(tmp_path, tiny())
    assert json.loads((tmp_path / "config.json").read_text()) == plain(tiny())


def test_keys_that_only_one_has():
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}, "d": 3}) == [
        "a.c: 2 -> absent",
        "d: absent -> 3",
    ]
    # Only whole sections may differ: a key of that name elsewhere may not.
    assert differences({"data": {"train": 1}}, {"data": {"train": 2}}) == ["data.train: 1 -> 2"]


def test_a_folder_that_cannot_be_written(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkdirError, match=r"file/run cannot be written \(Not a directory\).*--workdir"):
        claim(tmp_path / "file" / "run", tiny())


def test_no_run_there(tmp_path):
    with pytest.raises(WorkdirError, match="is not the workdir of a run.*No such file"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"seed": ')
    with pytest.raises(WorkdirError, match="config.json is not valid JSON"):
        read_config(tmp_path)


def test_one_process_trains_in_a_workdir(tmp_path):
    with lock(tmp_path):
        with pytest.raises(WorkdirError, match="another process trains in"), lock(tmp_path):
            pass
        with lock(tmp_path, primary=False):
            pass
    with lock(tmp_path):
        pass


def test_without_locks_it_warns_and_goes_on(tmp_path, monkeypatch):
    """As some network file systems are mounted."""

    def flock(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.warns(UserWarning, match="has no locks .Function not implemented.*no other process"):
        with lock(tmp_path):
            done = True
    assert done


def test_names_of_classes_stay_with_the_run(tmp_path):
    assert read_classes(tmp_path) == ()
    note_classes(tmp_path, ())
    assert not list(tmp_path.iterdir())
    note_classes(tmp_path, ("left, beep", "rückwärts"))
    assert read_classes(tmp_path) == ("left, beep", "rückwärts")
    (tmp_path / "classes.json").write_text("[")
    with pytest.raises(WorkdirError, match="classes.json is not a list of names"):
        read_classes(tmp_path)


def test_words_and_answers_stay_with_the_run(tmp_path):
    known = Vocabulary(("a", "caf\u00e9"))
    assert read_vocabulary(tmp_path) is None and read_answers(tmp_path) == ()
    for _ in range(2):  # a run that goes on notes them again
        note_words(tmp_path, known, ("yes", "no"))
    assert read_vocabulary(tmp_path) == known and read_answers(tmp_path) == ("yes", "no")
    for words, answers, file in (
        (Vocabulary(("a",)), ("yes", "no"), "vocab"),
        (known, ("no", "yes"), "answers"),
    ):
        for write in (True, False):
            with pytest.raises(WorkdirError, match=f"other words .{file}.* of the training split"):
                note_words(tmp_path, words, answers, write)
    assert read_vocabulary(tmp_path) == known and read_answers(tmp_path) == ("yes", "no")
    note_words(tmp_path / "nowhere", known, ("yes", "no"), write=False)
    (tmp_path / "vocabulary.json").write_text("{")
    with pytest.raises(WorkdirError, match="vocabulary.json: not a vocabulary"):
        read_vocabulary(tmp_path)
