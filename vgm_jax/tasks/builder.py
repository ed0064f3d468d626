"""Config -> modules -> task; nothing below this file sees a config."""

import dataclasses
from typing import Any

from vgm_jax.models.classifiers import CLASSIFIERS
from vgm_jax.models.discriminators import DISCRIMINATORS
from vgm_jax.models.discriminators.codes import CodeDiscriminator
from vgm_jax.models.encoders import SCENE_ENCODERS
from vgm_jax.models.generators import GENERATORS
from vgm_jax.objectives import Shown, make_objective, make_penalty
from vgm_jax.tasks.classification import Classification
from vgm_jax.tasks.codes import CodeGame
from vgm_jax.tasks.generation import Generation
from vgm_jax.training.optimizers import apart, make_adam, schedule
from vgm_jax.types import Task


def make_module(kind: str, table: dict[str, Any], settings: Any, **shapes: Any) -> Any:
    """The module `settings.name`, the rest of `settings` as its fields, and those of `shapes` that it has.

    Raises ValueError that lists the valid names or fields.
    """
    settings = dict(settings)
    name = settings.pop("name")
    if name not in table:
        raise ValueError(f"model.{kind}.name={name!r} is unknown; choose one of {', '.join(table)}")
    fields = [f.name for f in dataclasses.fields(table[name]) if f.name not in ("parent", "name")]
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        raise ValueError(
            f"model.{kind} ({name}) has no {', '.join(unknown)}; its settings are {', '.join(fields)}"
        )
    settings = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in settings.items()}
    return table[name](**{k: v for k, v in shapes.items() if k in fields} | settings)


def build_generation(config: Any) -> Generation:
    """The adversarial task of a config."""
    data, model, objective, optimizer = config.data, config.model, config.objective, config.optimizer
    shapes = dict(resolution=data.size, clip_frames=data.frames, clip_fps=data.fps, dtype=model.dtype)
    generator = make_module("generator", GENERATORS, model.generator, **shapes)
    common = dict(optimizer)
    generator_rate, discriminator_rate = common.pop("generator_rate"), common.pop("discriminator_rate")
    painter_rate, painter_b1 = common.pop("painter_rate"), common.pop("painter_b1")
    end, ema_decay = common.pop("rate_end"), common.pop("ema_decay")
    common.pop("classifier_rate")

    def adam(rate: float, **other: Any) -> Any:
        return make_adam(learning_rate=rate, learning_rate_end=rate * end, **common | other)

    game, codes, generator_optimizer = make_objective(objective.name), None, adam(generator_rate)
    if model.encoder.name != "none":
        if not hasattr(generator, "imagine"):
            raise ValueError(
                f"model.encoder.name={model.encoder.name!r} reads codes that model.generator.name="
                f"{model.generator.name!r} has not: set model.encoder.name to 'none'"
            )
        shared = ("content_dim", "form_dim", "objects", "camera", "free")
        shapes |= {name: getattr(generator, name) for name in shared}
        codes = CodeGame(
            generator,
            make_module("encoder", SCENE_ENCODERS, model.encoder, **shapes),
            CodeDiscriminator(),
            game,
            reconstruction_weight=objective.reconstruction_weight,
            weight=objective.codes_weight,
            penalty_weight=objective.codes_penalty_weight,
            noise=objective.codes_noise,
        )
        # What learns by reconstruction keeps a first moment, what plays a game does not.
        generator_optimizer = apart(
            generator_optimizer, adam(painter_rate, b1=painter_b1), ("painting", "encoder")
        )
    return Generation(
        generator,
        make_module("discriminator", DISCRIMINATORS, model.discriminator, **shapes),
        game,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=adam(discriminator_rate),
        penalty=None if objective.penalty == "none" else make_penalty(objective.penalty),
        penalty_weight=schedule(
            objective.penalty_weight, objective.penalty_weight_end, optimizer.decay_steps
        ),
        penalty_every=objective.penalty_every,
        penalty_stride=objective.penalty_stride,
        judge_stride=objective.judge_stride,
        judge_from=objective.judge_from if codes else 0,
        frames_seen=model.frames_seen,
        ema_decay=ema_decay,
        augmentations=tuple(data.augment),
        shown=Shown(
            tuple(name for name in objective.augment.split(",") if name),
            p=objective.augment_p,
            target=objective.augment_target,
            images=objective.augment_images,
            every=objective.augment_every,
        ),
        codes=codes,
        networks=tuple(config.evaluate.features.split(",")),
    )


def build_classification(config: Any) -> Classification:
    """The task of a config that says what clips show."""
    data, model, objective = config.data, config.model, config.objective
    heads = tuple((name, int(size)) for name, size in model.heads)
    optimizer = dict(config.optimizer)
    for other in ("generator_rate", "discriminator_rate", "painter_rate", "painter_b1"):
        optimizer.pop(other)
    rate, end, ema_decay = (optimizer.pop(k) for k in ("classifier_rate", "rate_end", "ema_decay"))
    shapes = dict(
        classes=tuple(size + bool(data.spoil_every) for _, size in heads),
        track=objective.track_weight > 0,
        dtype=model.dtype,
    )
    return Classification(
        make_module("classifier", CLASSIFIERS, model.classifier, **shapes),
        heads,
        optimizer=make_adam(learning_rate=rate, learning_rate_end=rate * end, **optimizer),
        ema_decay=ema_decay,
        label=model.label,
        track_weight=objective.track_weight,
        frames_seen=model.frames_seen,
        augmentations=tuple(data.augment),
        spoil_every=data.spoil_every,
    )


TASKS = {"generation": build_generation, "classification": build_classification}


def build(config: Any) -> Task:
    """The task of a config. Raises ValueError, listing the names, for an unknown one."""
    if config.task not in TASKS:
        raise ValueError(f"task={config.task!r} is unknown; choose one of {', '.join(TASKS)}")
    return TASKS[config.task](config)
