import pytest

from vgm_jax.evaluation.protocol import of_networks, require_same

PROTOCOL = {"frames": 16, "size": [64, 64], "networks": {"a": {"weights": "1"}, "b": {"weights": "2"}}}


def test_results_of_one_protocol_compare():
    assert require_same({"x": PROTOCOL}) is None
    fewer = PROTOCOL | {"networks": {"a": {"weights": "1"}}}
    assert require_same({"x": PROTOCOL, "y": dict(PROTOCOL), "z": fewer}) is None


def test_what_no_distance_depends_on_may_differ():
    """Ours is held against what it was trained on, others' samples against what they are judged by."""
    ours = PROTOCOL | {"training": "12ab", "fps": {"real": 30.0, "judged": 30.0}}
    theirs = PROTOCOL | {"training": "the real set", "fps": {"real": 30.0, "judged": 29.94}}
    assert require_same({"ours": ours, "theirs": theirs}) is None
    with pytest.raises(ValueError, match="fps.judged: 30.0 against 25.0"):
        require_same({"ours": ours, "theirs": theirs | {"fps": {"real": 30.0, "judged": 25.0}}})


@pytest.mark.parametrize(
    "change, named",
    [
        ({"frames": 8}, "frames: 16 against 8"),
        ({"networks": {"a": {"weights": "9"}}}, "networks.a.weights: 1 against 9"),
        ({"crop": "none"}, "crop: absent against none"),
    ],
)
def test_what_differs_is_named(change, named):
    with pytest.raises(ValueError) as error:
        require_same({"mine.json": PROTOCOL, "theirs.json": PROTOCOL | change})
    assert named in str(error.value) and "mine.json" in str(error.value) and "theirs.json" in str(error.value)


def test_networks_are_pinned_by_their_weights():
    assert set(of_networks(("random",))["random"]) >= {"weights", "resize", "frames", "layer"}
    with pytest.raises(ValueError, match="'fid' .*is unknown"):
        of_networks(("fid",))


def test_every_pair_counts():
    """Two that have a network in common which the first lacks."""
    networks = [{"a": {"weights": "1"}}, {"b": {"weights": "2"}}, {"b": {"weights": "3"}}]
    with pytest.raises(ValueError, match="1 and 2 .*\n.*networks.b.weights: 2 against 3"):
        require_same({str(i): PROTOCOL | {"networks": x} for i, x in enumerate(networks)})
