"""What numbers of a config can be: said before anything is built, by their keys."""

from typing import Any

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
RATED = ("generation", "autoregression", "classification", "question_answering", "summarization")


def check_numbers(config: Any) -> None:
    """Raises ValueError for a number that nothing could be done with, naming its key."""
    for key in POSITIVE:
        section, name = key.split(".")
        if (value := config[section][name]) < 1:
            hint = "; evaluate.every=0 evaluates at the end alone" if section == "evaluate" else ""
            raise ValueError(f"{key}={value} must be at least 1{hint}")
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
