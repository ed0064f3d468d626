import gc
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vgm_jax.training.checkpoint import Checkpoints
from vgm_jax.training.partition import Partition
from vgm_jax.training.workdir import WorkdirError


def init(key, batch=None):
    return {
        "step": jnp.zeros((), jnp.int32),
        "x": jax.random.normal(key, (50, 40)),
        "y": (jnp.ones(3), jnp.ones(())),
    }


def make(seed):
    return Partition().init(init, jax.random.key(seed), None)


@pytest.fixture
def torn():
    """For tests that make Orbax fail: what it leaves behind in its threads is swept up before the next."""
    yield
    gc.collect()


unswept = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def template():
    return Partition().template(init, jax.random.key(0), None)


@pytest.fixture
def opened(tmp_path):
    """`opened(keep, best)` -> Checkpoints in tmp_path/checkpoints, whose reports are in `.told`."""
    all_opened = []

    def make(keep=10, best=""):
        told = []
        checkpoints = Checkpoints(tmp_path / "checkpoints", keep, best, told.append)
        checkpoints.told = told
        all_opened.append(checkpoints)
        return checkpoints

    yield make
    for checkpoints in all_opened:
        checkpoints.close()


def fill(checkpoints, steps, metrics=None):
    for step in steps:
        checkpoints.save(step, make(step), {"seed": 0}, (metrics or {}).get(step))
    checkpoints.wait()


def test_what_is_saved_is_restored(opened, template, same_bits):
    checkpoints = opened()
    assert checkpoints.restore(template) is None
    assert checkpoints.steps == [] and checkpoints.best_step is None
    checkpoints.save(3, make(3), {"seed": 0}, unlogged=[[0.1, 1e-300], [1.0, 2.0]])
    fill(checkpoints, [5])
    again = opened()
    assert again.steps == [3, 5]
    state, step = again.restore(template)
    assert step == 5 and same_bits(state, make(5))
    state, step = again.restore(template, 3)
    assert step == 3 and same_bits(state, make(3))
    assert again.unlogged(3) == [[0.1, 1e-300], [1.0, 2.0]] and again.unlogged(5) is None
    with pytest.raises(ValueError, match=r"has no checkpoint of step 4; it has \[3, 5\]"):
        again.restore(template, 4)


def test_arrays_of_nothing_come_back(opened):
    state = {"a": jnp.arange(3.0), "none": jnp.zeros((4, 0, 2)), "rest": (jnp.ones(2), ())}
    checkpoints = opened()
    checkpoints.save(1, state, {"seed": 0})
    checkpoints.wait()
    template = jax.eval_shape(lambda: state)
    found, _ = checkpoints.restore(template)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, found, state)


def test_the_last_and_the_best_are_kept(opened, template):
    checkpoints = opened(keep=2, best="distance")
    distances = {1: 5.0, 2: 1.0, 3: 4.0, 5: 2.0, 6: 3.0}
    fill(checkpoints, range(1, 8), {step: {"distance": d, "clips": 8.0} for step, d in distances.items()})
    assert checkpoints.steps == [2, 6, 7]
    assert checkpoints.best_step == 2
    again = opened(keep=2, best="distance")
    fill(again, [8, 9], {9: {"distance": 0.5, "clips": 8.0}})
    assert again.steps == [8, 9]
    assert again.best_step == 9
    assert again.restore(template)[1] == 9


def test_without_a_figure_only_the_last_are_kept(opened):
    checkpoints = opened(keep=3, best="")
    fill(checkpoints, range(1, 6), {2: {"distance": 0.0}})
    assert checkpoints.steps == [3, 4, 5]
    assert checkpoints.best_step is None
    other = opened(keep=3, best="distance")
    fill(other, [6], {6: {"another": 1.0}})
    assert other.steps == [4, 5, 6]
    assert other.best_step is None
    third = opened(keep=1, best="another")
    fill(third, [7, 8], {7: {"another": 2.0}, 8: {"another": 3.0}})
    assert third.best_step == 7, "figures by another name neither count nor are in the way"


def test_a_saved_step_is_left_alone(opened, template, same_bits):
    checkpoints = opened()
    fill(checkpoints, [4])
    checkpoints.save(4, make(5), {})
    checkpoints.wait()
    assert same_bits(checkpoints.restore(template)[0], make(4))


def test_who_only_reads_leaves_a_save_in_the_making(opened, template, tmp_path, same_bits):
    """Samples may be asked for while the run trains on."""
    fill(opened(), [4])
    half = tmp_path / "checkpoints/5.orbax-checkpoint-tmp"
    half.mkdir()
    (half / "state").write_bytes(b"half of it")
    reader = Checkpoints(tmp_path / "checkpoints", 1, "", writes=False)
    assert reader.steps == [4] and same_bits(reader.restore(template)[0], make(4))
    reader.close()
    assert (half / "state").exists()
    for file in (tmp_path / "checkpoints/4").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    reader = Checkpoints(tmp_path / "checkpoints", 1, "", lambda text: None, writes=False)
    with pytest.raises(WorkdirError, match="left as they are"):
        reader.restore(template)
    reader.close()
    assert (tmp_path / "checkpoints/4").exists() and not (tmp_path / "checkpoints_unreadable").exists()
    absent = Checkpoints(tmp_path / "none", 1, "", writes=False)
    assert absent.steps == [] and absent.restore(template) is None and not (tmp_path / "none").exists()
    absent.close()
    trains = opened()  # clears up in the background, before its first save
    fill(trains, [5])
    assert trains.steps == [4, 5] and not half.exists()


def test_at_least_one_is_kept(tmp_path):
    with pytest.raises(ValueError, match="checkpoint.keep=0 must be at least 1"):
        Checkpoints(tmp_path, 0, "")


def shorten(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    data = bytearray(path.read_bytes())
    for i in range(len(data) // 3, len(data), 50):
        data[i] ^= 0xFF
    path.write_bytes(data)


@unswept
@pytest.mark.usefixtures("torn")
@pytest.mark.parametrize("spoil", [shorten, garble])
def test_a_torn_checkpoint_is_set_aside(opened, template, same_bits, tmp_path, spoil):
    fill(opened(), [1, 2, 3])
    for path in (tmp_path / "checkpoints" / "3").rglob("*"):
        if path.is_file() and path.stat().st_size:
            spoil(path)
    checkpoints = opened()
    state, step = checkpoints.restore(template)
    assert step == 2 and same_bits(state, make(2))
    (told,) = checkpoints.told
    assert told.startswith("checkpoint 3 cannot be read (") and told.endswith("; trying the one before")
    assert checkpoints.steps == [1, 2]
    assert (tmp_path / "checkpoints_unreadable" / "3" / "state").is_dir()
    # Its step can be saved anew, and set aside a second time.
    fill(checkpoints, [3])
    assert same_bits(opened().restore(template)[0], make(3))
    shutil.rmtree(tmp_path / "checkpoints" / "3" / "state")
    assert opened().restore(template)[1] == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints_unreadable").iterdir()) == ["3", "3_"]


@unswept
@pytest.mark.usefixtures("torn")
@pytest.mark.parametrize("spoil", [shorten, garble])
def test_no_spoilt_file_goes_unnoticed(opened, template, same_bits, tmp_path, spoil):
    fill(opened(), [1, 2])
    folder, original = tmp_path / "checkpoints" / "2", tmp_path / "original"
    shutil.copytree(folder, original)
    files = [
        path.relative_to(original) for path in original.rglob("*") if path.is_file() and path.stat().st_size
    ]
    steps = {}
    for file in files:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        spoil(folder / file)
        state, step = opened().restore(template)
        assert same_bits(state, make(step)), file
        steps[str(file)] = step
    assert 1 in steps.values()
    assert all(step == 1 for file, step in steps.items() if file.startswith(("state/d/", "state/manifest")))


@unswept
@pytest.mark.usefixtures("torn")
def test_none_can_be_read(opened, template, tmp_path):
    fill(opened(), [1, 2])
    for path in (tmp_path / "checkpoints").rglob("state/**/*"):
        if path.is_file():
            shorten(path)
    with pytest.raises(WorkdirError, match=r"none of the checkpoints \[1, 2\] in .* can be read.*--workdir"):
        opened().restore(template)
    assert opened().steps == [1, 2] and not (tmp_path / "checkpoints_unreadable").exists(), "it may be memory"
    with pytest.raises(WorkdirError, match="none of the checkpoints"):
        opened().restore(template)


@unswept
@pytest.mark.usefixtures("torn")
def test_a_step_asked_for_by_name_is_not_replaced(opened, template, tmp_path):
    fill(opened(), [1, 2])
    shutil.rmtree(tmp_path / "checkpoints" / "2" / "state")
    with pytest.raises(WorkdirError, match="checkpoint 2 in .* cannot be read"):
        opened().restore(template, 2)
    assert opened().steps == [1, 2]


def test_a_save_under_way_is_not_overwritten_by_later_updates(opened):
    """The update is donated its state: its buffers must not be written over while a save still reads them."""

    def big(key, batch):
        return {"step": jnp.zeros((), jnp.int32), "x": jnp.zeros((1500, 1000))}

    partition, key, batch = Partition(), jax.random.key(0), {"b": np.zeros((8, 1), np.float32)}
    state = partition.init(big, key, batch)
    update = partition.compile(
        lambda state, batch, key, axis: (jax.tree.map(lambda x: x + 1, state), jnp.sum(batch["b"])), state
    )
    checkpoints = opened()
    for step in range(0, 40, 10):
        checkpoints.save(step, partition.leave(state), {})
        for _ in range(10):
            state, _ = update(state, partition.put(batch), key)
    assert int(state["step"]) == 40
    checkpoints.wait()
    for step in range(0, 40, 10):
        restored, _ = checkpoints.restore(partition.template(big, key, batch), step)
        assert int(restored["step"]) == step
        assert set(np.unique(restored["x"])) == {step}


def test_a_figure_that_is_no_number_is_the_worst(opened):
    checkpoints = opened(best="distance")
    fill(checkpoints, [1, 2, 3], {1: {"distance": np.nan}, 2: {"distance": 2.0}, 3: {"distance": np.nan}})
    checkpoints.wait()
    assert checkpoints.best_step == 2


def test_what_another_process_saved_is_seen_on_another_look(opened):
    reading = opened()
    assert reading.steps == []
    writing = opened()
    fill(writing, [4])
    writing.wait()
    assert reading.steps == []
    reading.look_again()
    assert reading.steps == [4]
