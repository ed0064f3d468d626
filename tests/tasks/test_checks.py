"""What cannot be learnt is said by its key before anything is: by `build`, or by what sees the data."""

import re

import numpy as np
import pytest

from vgm_jax.data.sources import make_source
from vgm_jax.models.generators import GENERATORS
from vgm_jax.tasks import build
from vgm_jax.tasks.checks import check_known, check_networks
from vgm_jax.tasks.modules import make_module

REFUSED = [
    ("base", {"model.frames_seen": -1}, "model.frames_seen=-1 must not be negative"),
    ("base", {"objective.codes_noise_far": -0.1}, "objective.codes_noise_far=-0.1 must not be negative"),
    ("base", {"optimizer.warmup_steps": -5}, "optimizer.warmup_steps=-5 must not be negative"),
    ("base", {"model.dtype": "bf16"}, "model.dtype='bf16': choose one of float32, bfloat16"),
    ("classify", {"evaluate.views": (2,)}, "evaluate.views=(2,): two numbers"),
    ("classify", {"evaluate.views": (0, 1)}, "evaluate.views=(0, 1): two numbers"),
    ("classify", {"model.heads": ("class", 5)}, "model.heads=('class', 5): pairs of a name and a number"),
    ("shapeshow_oracle", {"model.modality_drop": 0.3}, "sees pictures alone"),
    ("shapeshow_oracle", {"model.modalities": ("video", "audio")}, "sees pictures alone"),
    ("shapeshow_oracle", {"model.heads": (("motion", 12),)}, "data.spoil_every needs heads of shape"),
]


@pytest.mark.parametrize(("name", "changes", "message"), REFUSED, ids=lambda x: str(x)[:40])
def test_what_cannot_be_learnt(recipe, name, changes, message):
    config = recipe(name).unlock()
    config.update_from_flattened_dict(changes)
    with pytest.raises(ValueError) as error:
        build(config)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("classify", "objective.augment", "colour"),
        ("masked_video", "objective.augment", "colour"),
        ("answer", "objective.mixup", 0.2),
        ("answer", "data.spoil_every", 2),
        ("base", "model.dtype", "float16"),
        ("mlp_gan", "objective.codes_noise_far", 0.4),
    ],
)
def test_what_would_do_nothing(recipe, name, key, value):
    """Of a run that is to train: what an older one was told in vain keeps nobody from using it."""
    config = recipe(name).unlock()
    check_known(config)
    config.update_from_flattened_dict({key: value})
    build(config)
    with pytest.raises(
        ValueError, match=f"does not know {key}|float16. is too small|{key}=.* is for painters"
    ):
        check_known(config)


def test_a_track_that_clips_have_not(recipe):
    config = recipe("shapeshow_oracle").unlock()
    config.data.update(spoil_every=0)
    config.data.shapeshow.track = False
    with pytest.raises(ValueError, match="objective.track_weight needs clips with a track"):
        build(config).view(make_source(config.data, "train"))


def test_networks_that_need_longer_clips(recipe):
    config = recipe("base").unlock()
    config.evaluate.features = "random,arrow-shapeshow"
    check_networks(config)
    config.data.frames = 2
    with pytest.raises(
        ValueError, match="'arrow-shapeshow', which needs clips of [0-9]+ frames; data.frames is 2"
    ):
        check_networks(config)


def test_films_that_come_as_vectors_are_of_no_network_of_ours(recipe):
    config = recipe("summarize").unlock()
    assert build(config).vectors is not None
    config.data.source = "summaries"
    assert build(config).vectors is None


def test_a_field_is_of_its_kind():
    def made(**fields):
        return make_module("generator", GENERATORS, {"name": "continuous", "resolution": 16} | fields)

    assert made(conditions="text").conditions == ("text",) == made(conditions=["text"]).conditions
    assert made(width=np.int64(64)).width == 64 and made(window=2).window == 2
    assert made(categories=(4, 5)).categories == (4, 5)
    for field, value, expected in (
        ("width", 64.0, "a whole number"),
        ("width", "abc", "a whole number"),
        ("width", True, "a whole number"),
        ("grey", "false", "True or False"),
        ("grey", 1, "True or False"),
        ("width", (64,), "a whole number"),
        ("window", "1", "a number"),
        ("categories", "4,5", "a whole number"),
        ("categories", None, "a whole number"),
    ):
        with pytest.raises(
            ValueError, match=re.escape(f"model.generator.{field}={value!r} must be {expected}")
        ):
            made(**{field: value})
