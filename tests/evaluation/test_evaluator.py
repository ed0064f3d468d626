import json

import numpy as np
import pytest

from vgm_jax.data.sources.shapeshow import ShapeShow
from vgm_jax.evaluation.clips import choose
from vgm_jax.evaluation.evaluator import FEWEST, beside_held_out, measure
from vgm_jax.evaluation.look import look

NETWORKS = ("random",)


class Clips:
    """A source of arrays."""

    def __init__(self, videos, name="made up", rate=6.0):
        self.videos, self.description, self.rate = videos, {"source": name, "clips": 10**9}, rate

    def __len__(self):
        return len(self.videos)

    def __getitem__(self, i):
        video = self.videos[i]
        return {"video": video, "times": np.arange(len(video), dtype=np.float32) / self.rate}


@pytest.fixture(scope="module")
def clips():
    source = ShapeShow("test", size=16, frames=6, fps=6.0)
    return np.stack([source[i]["video"] for i in range(120)])


def as_set(videos, name="clips", count=10**6, rate=6.0):
    return choose(name, Clips(videos, name, rate), count)


def test_a_result_says_how_far_and_beside_what(clips):
    real, fake, spare = (as_set(clips[i : i + 40], str(i)) for i in (0, 40, 80))
    steps = []
    result = measure(real, fake, NETWORKS, spare=spare, progress=lambda *at: steps.append(at))
    assert steps[-1] == (160, 160)
    figures = {"frechet", "kernel", "kernel_spread", "precision", "recall", "density", "coverage"}
    assert set(result["distances"]) == {f"{f}/random" for f in figures}
    real_vs_real, shuffled = (result["anchors"][k] for k in ("real_vs_real", "shuffled"))
    assert set(real_vs_real) == set(shuffled) == set(result["distances"])
    assert shuffled["frechet/random"] > real_vs_real["frechet/random"]
    assert result["distances"]["frechet/random"] == pytest.approx(real_vs_real["frechet/random"], rel=1.0)
    protocol = result["protocol"]
    assert (protocol["frames"], protocol["size"], protocol["count"]) == (6, [16, 16], 40)
    assert protocol["real"] == real.hash and protocol["spare"] == spare.hash
    assert len(protocol["networks"]["random"]["weights"]) == 64
    json.dumps(result)


def test_the_same_set_is_at_no_distance(clips):
    result = measure(as_set(clips), as_set(clips, "again"), NETWORKS)
    assert result["distances"]["frechet/random"] == pytest.approx(0.0, abs=1e-6)
    assert result["distances"]["precision/random"] == result["distances"]["coverage/random"] == 1.0


def test_without_other_real_clips_the_anchors_are_of_halves(clips):
    result = measure(as_set(clips[:60]), as_set(clips[60:]), NETWORKS)
    assert any("halves" in w and "30" in w for w in result["warnings"])
    order = as_set(clips[:60]).indices
    halves = (as_set(clips[order[start::2]]) for start in (0, 1))
    expected = measure(*halves, NETWORKS)["distances"]
    assert result["anchors"]["real_vs_real"]["frechet/random"] == pytest.approx(
        expected["frechet/random"], rel=1e-4
    )


def test_the_order_of_the_files_does_not_matter(clips):
    """Sorted by class, as folders are: the halves that anchors compare hold all classes."""
    dark = clips[:30] // 4
    anchors = measure(as_set(np.concatenate([dark, clips[30:60]])), as_set(clips[60:]), NETWORKS)["anchors"]
    mixed = measure(as_set(clips[:60]), as_set(clips[60:]), NETWORKS)["anchors"]
    found, expected = (x["real_vs_real"]["frechet/random"] for x in (anchors, mixed))
    assert found < 2 * expected


def test_few_clips_are_warned_of(clips):
    result = measure(as_set(clips[:40]), as_set(clips[40:80]), NETWORKS)
    assert any("40 fake clips are few" in w for w in result["warnings"])
    assert any(
        "too few for a stable frechet/random" in w and "kernel/random" in w for w in result["warnings"]
    )


def test_copies_are_seen(clips):
    copied = clips[:40].copy()
    copied[:, :, 0, 0] += 1  # not to the last bit
    honest = measure(as_set(clips[:40]), as_set(clips[40:80]), NETWORKS, spare=as_set(clips[80:]))["checks"]
    copying = measure(as_set(clips[:40]), as_set(copied), NETWORKS, spare=as_set(clips[80:]))["checks"]
    assert honest["copies"] < 0.1 and honest["nearest/fake"] == pytest.approx(honest["nearest/real"], rel=0.3)
    assert copying["copies"] == 1.0 and copying["nearest/fake"] < 1.0
    elsewhere = measure(as_set(clips[80:]), as_set(copied), NETWORKS, training=as_set(clips[:40], "training"))
    assert elsewhere["checks"]["copies"] == 1.0, "copied from the training set, which is not the real set"
    for training in (clips[:40], clips):  # the real clips are among those trained on
        exact = measure(as_set(clips[:40]), as_set(clips[:40]), NETWORKS, training=as_set(training))
        assert exact["checks"]["copies"] == 1.0
        new = measure(as_set(clips[:40]), as_set(255 - clips[:40]), NETWORKS, training=as_set(training))
        assert new["checks"]["copies"] == 0.0


def test_a_runs_own_figures_say_of_how_many_clips_its_anchors_are(clips):
    real, fake = (look(as_set(part), NETWORKS) for part in (clips[:60], clips[60:]))
    found = beside_held_out(real, fake)
    assert found["clips"] == 60 and found["real_vs_real/clips"] == 30
    expected = measure(as_set(clips[:60]), as_set(clips[60:]), NETWORKS)
    for figure in ("frechet/random", "kernel/random"):
        assert found[figure] == pytest.approx(expected["distances"][figure], rel=1e-4, abs=1e-6)
        anchor = expected["anchors"]["real_vs_real"][figure]
        assert found[f"real_vs_real/{figure}"] == pytest.approx(anchor, rel=1e-4, abs=1e-6)
    assert not any("copies" in name or "nearest" in name for name in found), "held-out clips are not copied"
    few = look(as_set(clips[: FEWEST - 1]), NETWORKS)
    assert beside_held_out(few, few) == {"clips": FEWEST - 1}


def test_a_result_describes_the_sets_it_is_of(clips):
    result = measure(as_set(clips[:20], "a"), as_set(clips[20:40], "b"), NETWORKS)
    assert result["real"]["clips"] == result["fake"]["clips"] == 20, "not what the source has in all"
    assert (result["real"]["name"], result["real"]["source"]) == ("a", "a")
    assert result["protocol"]["fps"] == {"real": pytest.approx(6.0), "judged": pytest.approx(6.0)}


def test_rates_that_differ_and_sets_that_are_the_same_are_warned_of(clips):
    real, slow = as_set(clips[:20], "real"), as_set(clips[20:40], "slow", rate=3.0)
    warned = measure(real, slow, NETWORKS)["warnings"]
    assert any("real runs at 6 frames a second, slow at 3" in w for w in warned)
    assert any("same clips" in w for w in measure(real, real, NETWORKS)["warnings"])
    black = measure(real, as_set(np.zeros_like(clips[:20]), "collapsed"), NETWORKS)
    assert any("collapsed are black" in w for w in black["warnings"]), "measured all the same"
    honest = measure(real, as_set(clips[20:40], "other"), NETWORKS)["warnings"]
    assert not any("runs at" in w or "same clips" in w for w in honest)


def test_variety_and_movement(clips):
    frozen = np.repeat(clips[:40, :1], 6, 1)
    alike = np.repeat(clips[:1], 40, 0)
    real = as_set(clips[40:80])
    checks = {n: measure(real, as_set(v), NETWORKS)["checks"] for n, v in {"f": frozen, "a": alike}.items()}
    assert checks["f"]["motion/fake"] == 0.0 and checks["f"]["motion/real"] > 0.5
    assert checks["a"]["diversity/fake"] == 0.0 and checks["a"]["diversity/real"] > 5.0
    change = np.abs(np.diff(clips[40:80].astype(float), axis=1)).mean()
    assert checks["f"]["motion/real"] == pytest.approx(change, rel=1e-5)


def test_the_cache_is_of_the_clips_and_the_network(clips, tmp_path, monkeypatch):
    real, fake = as_set(clips[:20], "real"), as_set(clips[20:40], "fake")
    first = measure(real, fake, NETWORKS, cache=tmp_path)
    files = set(tmp_path.iterdir())
    assert len(files) == 8, (
        "network, thumbnails, motion and dynamics, as they are and shuffled; nothing of the fake ones"
    )

    class Unread(Clips):
        def __getitem__(self, i):
            if i not in real.indices[:4]:  # the first few are looked at for their shape and values
                raise AssertionError("read again")
            return super().__getitem__(i)

    unread = choose("real", Unread(clips[:20], "real"), 20)
    assert measure(unread, fake, NETWORKS, cache=tmp_path) == first
    other = choose("other", Unread(clips[:20], "other"), 20)
    with pytest.raises(AssertionError, match="read again"):
        measure(other, fake, NETWORKS, cache=tmp_path)
    for file in files:  # torn files are made again
        file.write_bytes(file.read_bytes()[:40])
    assert measure(real, fake, NETWORKS, cache=tmp_path) == first


def test_what_does_not_compare_is_refused(clips):
    real = as_set(clips[:20], "real")
    with pytest.raises(ValueError, match="small has clips of .6, 8, 8."):
        measure(real, as_set(clips[:20, :, ::2, ::2], "small"), NETWORKS)
    with pytest.raises(ValueError, match="short has clips of .3, 16, 16."):
        measure(real, as_set(clips[:20, :3], "short"), NETWORKS)
    with pytest.raises(ValueError, match="floats: clip .* is float64.*0..255"):
        measure(real, as_set(clips[:20] / 255.0, "floats"), NETWORKS)
    with pytest.raises(ValueError, match="zeros: no value is above 1; expected 0..255"):
        measure(real, as_set((clips[:20] > 99).astype(np.uint8), "zeros"), NETWORKS)
    with pytest.raises(ValueError, match="real has 20 clips, few 9"):
        measure(real, as_set(clips[:9], "few"), NETWORKS)
    with pytest.raises(ValueError, match="real, one: transnet needs clips of 2 frames"):
        measure(as_set(clips[:9, :1], "real"), as_set(clips[:9, :1], "one"), ("transnet",))
    with pytest.raises(ValueError, match="4 clips"):
        measure(as_set(clips[:3]), as_set(clips[:3]), NETWORKS)
    with pytest.raises(ValueError, match="'fid' .*is unknown"):
        measure(real, real, ("fid",))
    mixed = Clips(list(clips[:20]), "mixed")
    mixed.videos[int(real.indices[7])] = clips[0, :, :8]
    with pytest.raises(ValueError, match="mixed: clips of"):
        measure(choose("mixed", mixed, 20), real, NETWORKS)
    with pytest.raises(ValueError, match="nothing has no clips"):
        as_set([], "nothing")


def test_pictures_have_no_shuffled_anchor(clips):
    result = measure(as_set(clips[:20, :1]), as_set(clips[20:40, :1]), NETWORKS)
    assert set(result["anchors"]) == {"real_vs_real"} and result["checks"]["motion/real"] == 0.0


def test_which_clips_are_chosen(clips):
    chosen = as_set(clips, count=30)
    assert len(set(chosen.indices.tolist())) == 30 and chosen.hash == as_set(clips, count=30).hash
    assert chosen.hash != choose("clips", Clips(clips, "clips"), 30, seed=1).hash
    for count in (60, 120, 500):
        longer = as_set(clips, count=count).part(0, 30)
        assert np.array_equal(longer.indices, chosen.indices), "a longer draw goes on"
    assert np.array_equal(chosen[3], clips[chosen.indices[3]])


@pytest.mark.usefixtures("optimised")
def test_the_oracle_s_figures_are_among_the_checks(tmp_path):
    source = ShapeShow("test", size=32, frames=16, fps=16.0)
    real, fake = (choose("shapeshow", source, 32).part(start, start + 16) for start in (0, 16))
    frozen = choose("frozen", Clips([np.repeat(fake[i][:1], 16, 0) for i in range(16)], rate=16.0), 16)
    moving, still = (measure(real, x, ("oracle",), cache=tmp_path)["checks"] for x in (fake, frozen))
    for found in (moving, still):
        assert found["whole/shape/real"] >= 0.9 and found["whole/shape/fake"] >= 0.8
    assert moving["whole/motion/fake"] > 0.9 and moving["total_variation/motion"] < 0.6
    assert still["whole/motion/fake"] < 0.2 and still["total_variation/motion"] > 0.8
