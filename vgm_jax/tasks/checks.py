"""What a config can ask for, of numbers and of its data: said before anything is learnt, by its keys."""

from collections.abc import Sequence
from typing import Any

from vgm_jax.evaluation.features import network

POSITIVE = (
    "data.size",
    "data.frames",
    "objective.penalty_every",
    "objective.penalty_stride",
    "objective.judge_stride",
    "objective.codes_rounds",
    "objective.codes_batch",
    "objective.codes_memory",
    "objective.codes_recent",
    "objective.codes_stride",
    "objective.codes_early_stride",
    "objective.codes_moments",
    "evaluate.clips",
    "evaluate.batch_size",
)
NOT_NEGATIVE = (
    "model.frames_seen",
    "model.frames_given",
    "model.frames_judged",
    "objective.codes_noise",
    "objective.codes_noise_far",
    "optimizer.warmup_steps",
    "optimizer.decay_steps",
    "data.spoil_every",
)
UNKNOWN = dict.fromkeys(
    ("classification", "masked_video", "summarization", "feature_gan"), ("objective.augment",)
)
UNKNOWN["question_answering"] = (
    "objective.augment",
    "objective.mixup",
    "objective.label_smoothing",
    "data.spoil_every",
)
ENOUGH = 9  # frames in which all networks see something
DTYPES = ("float32", "bfloat16", "float16")
GIVEN_BY = {"audio": "data.<source>.audio", "text": "data.text.length, or data.shapeshow.text=True"}
RATED = ("generation", "autoregression", "classification", "question_answering", "summarization")


def check_numbers(config: Any) -> None:
    """Raises ValueError for a number that nothing could be done with, naming its key."""
    for key in POSITIVE:
        section, name = key.split(".")
        if (value := config[section][name]) < 1:
            hint = "; evaluate.every=0 evaluates at the end alone" if section == "evaluate" else ""
            raise ValueError(f"{key}={value} must be at least 1{hint}")
    for key in NOT_NEGATIVE:
        section, name = key.split(".")
        if (value := config[section][name]) < 0:
            raise ValueError(f"{key}={value} must not be negative")
    if config.model.dtype not in DTYPES:
        raise ValueError(f"model.dtype={config.model.dtype!r}: choose one of {', '.join(DTYPES)}")
    views = config.evaluate.views
    if len(views) != 2 or any(n < 1 for n in views):
        raise ValueError(f"evaluate.views={tuple(views)}: two numbers, parts of time and squares, 1 or more")
    if config.task in RATED and not config.data.fps > 0:
        raise ValueError(f"data.fps={config.data.fps} must be positive: frames a second")


def check_schedule(config: Any) -> None:
    """Raises ValueError for schedules that end before what they are for begins: of a run that is to train."""
    settles, decay = config.objective.settled_from, config.optimizer.decay_steps
    plays = config.task == "generation" and config.model.encoder.name != "none" and not config.model.frozen
    encoder = config.model.encoder
    begins = ["judge_from"] + ["spins_from"] * ("spins" in encoder and encoder.spins)
    for name in begins if plays and settles else ():
        if (begin := config.objective[name]) >= settles:
            raise ValueError(
                f"objective.{name}={begin} is not before codes settle at objective.settled_from={settles}: "
                "what begins there would never. Lower it"
            )
    if plays and settles and 0 < decay <= settles:
        raise ValueError(
            f"optimizer.decay_steps={decay} ends before codes settle at objective.settled_from={settles}: "
            "what is to be learnt then has no rate left. Lower that, too"
        )


def refuse(config: Any, *keys: str) -> None:
    """Raises ValueError where one of these, which the config's task does not know, is set."""
    for key in keys:
        section, name = key.split(".")
        if value := config[section][name]:
            raise ValueError(f"task {config.task!r} does not know {key}, which is {value!r}: leave it empty")


def check_known(config: Any) -> None:
    """Raises ValueError for a key that is set and would do nothing in a run that is to train."""
    if config.model.dtype == "float16":
        raise ValueError("model.dtype='float16' is too small for sums of squares: choose 'bfloat16'")
    refuse(config, *UNKNOWN.get(config.task, ()))
    held = config.model.frozen or config.model.encoder.name == "none"
    if config.task == "generation" and config.objective.codes_noise_far and held:
        raise ValueError(
            f"objective.codes_noise_far={config.objective.codes_noise_far} is for painters that learn from "
            "codes: set it to 0 where model.frozen, or without model.encoder"
        )


def check_networks(config: Any) -> None:
    """Raises ValueError for a network of `evaluate.features` that sees nothing in clips as short as these."""
    if config.task not in ("generation", "autoregression") or config.data.frames >= ENOUGH:
        return
    for name in config.evaluate.features.split(","):
        if (needed := network(name).min_frames) > config.data.frames:
            raise ValueError(
                f"evaluate.features has {name!r}, which needs clips of {needed} frames; data.frames is "
                f"{config.data.frames}"
            )


def check_modalities(modalities: Sequence[str], source: Any) -> None:
    """Raises ValueError for a modality that a source's clips lack: nothing would be learnt of it."""
    clip = source[0] if len(source) else dict.fromkeys(modalities)
    for name in modalities:
        if name not in clip:
            hint = f"set {GIVEN_BY[name]}, or " if name in GIVEN_BY else ""
            raise ValueError(
                f"model.modalities has {name!r}, which clips of {source!r} lack: {hint}take it out"
            )


def check_words(words: int, source: Any) -> None:
    """Raises ValueError where a source's vocabulary is larger than a network's, of `words`."""
    if (known := len(source.vocabulary)) > words:
        raise ValueError(f"model.trunk.words={words}, but the data's vocabulary has {known}: set it so")
