"""Config -> modules -> task; nothing below this file sees a config."""

import functools
from typing import Any

import optax

from vgm_jax.models.classifiers import ANSWERERS, CLASSIFIERS
from vgm_jax.models.discriminators import DISCRIMINATORS
from vgm_jax.models.discriminators.codes import MOVED, CodeDiscriminator
from vgm_jax.models.encoders import SCENE_ENCODERS, Trunk
from vgm_jax.models.encoders.condition import ASKED, ConditionEncoder
from vgm_jax.models.encoders.masked import MaskedVideo
from vgm_jax.models.generators import CAUSAL_GENERATORS, GENERATORS
from vgm_jax.models.summarizers import Critic, Reconstructor, Scorer
from vgm_jax.models.vectors import CRITICS, VECTOR_GENERATORS
from vgm_jax.objectives import Shown, make_objective, make_penalty
from vgm_jax.tasks.autoregression import Autoregression
from vgm_jax.tasks.checks import check_numbers, refuse
from vgm_jax.tasks.classification import Classification
from vgm_jax.tasks.codes import ENCODER, MOVING, CodeGame
from vgm_jax.tasks.critics import Critics
from vgm_jax.tasks.explained import Explained
from vgm_jax.tasks.feature_gan import FeatureGAN
from vgm_jax.tasks.generation import Generation
from vgm_jax.tasks.judging import Judge
from vgm_jax.tasks.masked_video import MaskedVideoModelling
from vgm_jax.tasks.modules import make_module
from vgm_jax.tasks.question_answering import QuestionAnswering
from vgm_jax.tasks.restoring import PAINTERS, Start
from vgm_jax.tasks.sentences import sentences_of
from vgm_jax.tasks.summarization import LEARNT, Summarization
from vgm_jax.tasks.vectors import Vectors
from vgm_jax.training.optimizers import apart, make_adam, schedule
from vgm_jax.types import Task


def adam(optimizer: Any, rate: float, **other: Any) -> Any:
    """Adam with the numbers of a config's `optimizer`, but for `other`."""
    names = ("b1", "b2", "b2_end", "warmup_steps", "decay_steps", "clip_norm")
    numbers = {name: optimizer[name] for name in names} | other
    return make_adam(learning_rate=rate, learning_rate_end=rate * optimizer.rate_end, **numbers)


def make_judge(config: Any, **shapes: Any) -> Judge:
    """The discriminator of a config, with its penalty."""
    objective = config.objective
    return Judge(
        make_module("discriminator", DISCRIMINATORS, config.model.discriminator, **shapes),
        None if objective.penalty == "none" else make_penalty(objective.penalty),
        every=objective.penalty_every,
        stride=objective.penalty_stride,
    )


def build_generation(config: Any) -> Generation:
    """The adversarial task of a config."""
    data, model, objective, optimizer = config.data, config.model, config.objective, config.optimizer
    shapes = dict(resolution=data.size, clip_frames=data.frames, clip_fps=data.fps, dtype=model.dtype)
    shapes["window"] = data.frames / data.fps
    generator = make_module("generator", GENERATORS, model.generator, **shapes)
    if objective.judged not in ("imagined", "repainted"):
        raise ValueError(f"objective.judged={objective.judged!r}: choose 'imagined' or 'repainted'")
    game, codes = make_objective(objective.name), None
    conditions = conditions_of(generator, model, data)
    generator_optimizer = adam(optimizer, optimizer.generator_rate)
    settles = model.encoder.name != "none" and objective.settled_from
    settled_from = 0 if model.frozen else settles or None
    # Where codes settle, the game of them begins anew, its schedules with it. What reads, what paints and who
    # judges frames learn until then.
    decay = optimizer.decay_steps and max(1, optimizer.decay_steps - (settled_from or 0))
    held = schedule(1.0, objective.codes_penalty_end, decay)
    learns = min(optimizer.decay_steps, settled_from or optimizer.decay_steps)
    if model.encoder.name != "none":
        if not hasattr(generator, "imagine"):
            raise ValueError(
                f"model.encoder.name={model.encoder.name!r} reads codes that model.generator.name="
                f"{model.generator.name!r} has not: set model.encoder.name to 'none'"
            )
        shared = ("content_dim", "form_dim", "objects", "camera", "free", "grid")
        shapes |= {name: getattr(generator, name) for name in shared}
        rounds = objective.codes_rounds
        asked = tuple(name for name in conditions if name in ASKED)
        paced = {"warmup_steps": rounds * optimizer.warmup_steps, "decay_steps": rounds * decay}
        rates = optimizer.generator_rate, optimizer.motion_rate
        player = apart(*(adam(optimizer, rate, **paced) for rate in rates), MOVING)
        encoder = make_module("encoder", SCENE_ENCODERS, model.encoder, **shapes)
        codes = CodeGame(
            generator,
            encoder,
            Critics(
                CodeDiscriminator(),
                game,
                condition=ConditionEncoder(asked, generator.classes, generator.words) if asked else None,
                penalty_weight=objective.codes_penalty_weight,
                motion_penalty_weight=objective.motion_penalty_weight,
            ),
            explained=Explained(
                generator, {"shown": objective.codes_explained, MOVED: objective.motion_explained}
            ),
            known="image" in conditions,
            imagination_optimizer=player,
            critic_optimizer=player,
            reconstruction_weight=objective.reconstruction_weight,
            spins_from=objective.spins_from if encoder.spins and encoder.objects else None,
            noise=objective.codes_noise,
            far=objective.codes_noise_far,
            rounds=rounds,
            batch=objective.codes_batch,
            memory=objective.codes_memory,
            recent=objective.codes_recent,
            stride=objective.codes_stride,
            early=(objective.codes_early_rounds, objective.codes_early_stride),
            moments=objective.codes_moments,
        )
        # What learns by reconstruction keeps a first moment, what plays a game does not.
        painter = adam(optimizer, optimizer.painter_rate, b1=optimizer.painter_b1, decay_steps=learns)
        generator_optimizer = apart(optax.set_to_zero(), painter, ("painting", ENCODER))
    judge_from = objective.judge_from if codes else 0
    judged = learns and max(1, learns - judge_from)
    return Generation(
        generator,
        make_judge(config, **shapes),
        game,
        generator_optimizer=generator_optimizer,
        discriminator_optimizer=adam(optimizer, optimizer.discriminator_rate, decay_steps=judged),
        penalty_weight=schedule(objective.penalty_weight, objective.penalty_weight_end, learns),
        judge_stride=objective.judge_stride,
        judge_from=judge_from,
        frames_seen=model.frames_seen,
        ema_decay=optimizer.ema_decay,
        augmentations=tuple(data.augment),
        shown=Shown(
            tuple(name for name in objective.augment.split(",") if name),
            p=objective.augment_p,
            target=objective.augment_target,
            images=objective.augment_images,
            every=objective.augment_every,
        ),
        codes=codes,
        held=lambda step: held(step - (settled_from or 0)),
        conditions=conditions,
        start=Start(model.start, build, PAINTERS) if model.start else None,
        settled_from=settled_from,
        repainted=codes is not None and objective.judged == "repainted",
        networks=tuple(config.evaluate.features.split(",")),
        sentences=sentences_of(data.text.encoder, "sentence" in conditions),
    )


def build_autoregression(config: Any) -> Autoregression:
    """The adversarial task of a config whose generator makes each frame from those before."""
    data, model, objective, optimizer = config.data, config.model, config.objective, config.optimizer
    shapes = dict(resolution=data.size, clip_fps=data.fps, dtype=model.dtype)
    generator = make_module("generator", CAUSAL_GENERATORS, model.generator, **shapes)
    refuse(config, "objective.augment", "model.start", "model.frozen")
    end = objective.penalty_weight_end
    judge = make_judge(config, actions=generator.actions, dtype=model.dtype)
    if generator.actions and not hasattr(judge.discriminator, "actions"):
        raise ValueError(
            f"model.discriminator.name={model.discriminator.name!r} cannot be told actions: set it to 'clip'"
        )
    return Autoregression(
        generator,
        judge,
        make_objective(objective.name),
        generator_optimizer=adam(optimizer, optimizer.generator_rate),
        discriminator_optimizer=adam(optimizer, optimizer.discriminator_rate),
        penalty_weight=schedule(objective.penalty_weight, end, optimizer.decay_steps),
        judge_stride=objective.judge_stride,
        start_stride=objective.start_stride,
        frames_seen=model.frames_seen,
        frames_given=model.frames_given,
        frames_judged=model.frames_judged,
        speed_weight=objective.speed_weight,
        reconstruction_weight=objective.reconstruction_weight,
        ema_decay=optimizer.ema_decay,
        augmentations=tuple(data.augment),
        networks=tuple(config.evaluate.features.split(",")),
    )


def conditions_of(generator: Any, model: Any, data: Any) -> tuple[str, ...]:
    """What a generator can be asked for by. Raises ValueError where it could not learn that."""
    conditions = tuple(getattr(generator, "conditions", ()))
    unknown = [name for name in conditions if name not in (*ASKED, "image")]
    if unknown:
        names = ", ".join((*ASKED, "image"))
        raise ValueError(f"model.generator.conditions: {unknown[0]!r} is unknown; choose from {names}")
    if conditions and model.encoder.name == "none":
        raise ValueError("model.generator.conditions need codes: set model.encoder.name to 'scene'")
    if "label" in conditions and generator.classes < 2:
        raise ValueError("the condition 'label' needs model.generator.classes, how many there are")
    if "text" in conditions and generator.words < 2:
        raise ValueError("the condition 'text' needs model.generator.words, the size of its vocabulary")
    if {"text", "sentence"} <= set(conditions):
        raise ValueError("the conditions 'text' and 'sentence' are two ways to read a caption: choose one")
    if "image" in conditions and data.frames < 2:
        raise ValueError("the condition 'image' needs clips of at least 2 frames (data.frames)")
    turned = sorted({"reverse", "speed", "flip"} & set(data.augment))
    if turned and {"text", "sentence", "audio"} & set(conditions):
        raise ValueError(
            f"data.augment={turned[0]!r} makes words and sounds untrue, by which clips are asked for here"
        )
    return conditions


def make_trunk(config: Any, *but: str) -> Trunk:
    """The trunk of `model.trunk`, for `model.modalities`, `but` for some.

    Raises ValueError that lists its settings.
    """
    settings = dict(config.model.trunk) | {"name": "trunk"}
    used = tuple(name for name in config.model.modalities if name not in but)
    shapes = dict(modalities=used, dtype=config.model.dtype)
    return make_module("trunk", {"trunk": Trunk}, settings, **shapes)


def make_descent(config: Any) -> dict[str, Any]:
    """Optimiser and moving average of a task of understanding, by `optimizer`; where its trunk starts."""
    return {
        "optimizer": adam(config.optimizer, config.optimizer.classifier_rate),
        "ema_decay": config.optimizer.ema_decay,
        "start": Start(config.model.start, build) if config.model.start else None,
    }


def heads_of(model: Any) -> tuple[tuple[str, int], ...]:
    """Name and classes of each head. Raises ValueError where they are no such pairs."""
    try:
        return tuple((str(name), int(size)) for name, size in model.heads)
    except (TypeError, ValueError):
        raise ValueError(
            f"model.heads={model.heads!r}: pairs of a name and a number, such as (('motion', 12),)"
        ) from None


def build_classification(config: Any) -> Classification:
    """The task of a config that says what clips show."""
    data, model, objective = config.data, config.model, config.objective
    heads = heads_of(model)
    shapes = dict(
        classes=tuple(size + bool(data.spoil_every) for _, size in heads),
        track=objective.track_weight > 0,
        trunk=make_trunk(config),
        dtype=model.dtype,
    )
    return Classification(
        make_module("classifier", CLASSIFIERS, model.classifier, **shapes),
        heads,
        **make_descent(config),
        label=model.label,
        track_weight=objective.track_weight,
        frames_seen=model.frames_seen,
        augmentations=tuple(data.augment),
        spoil_every=data.spoil_every,
        modalities=tuple(model.modalities),
        modality_drop=model.modality_drop,
        mixup=objective.mixup,
        label_smoothing=objective.label_smoothing,
        views=tuple(config.evaluate.views),
        frozen=model.frozen,
    )


def build_masked_video(config: Any) -> MaskedVideoModelling:
    """The task of a config that learns from clips alone."""
    refuse(config, "model.frozen")
    return MaskedVideoModelling(
        MaskedVideo(make_trunk(config), whole=config.objective.whole_weight > 0),
        **make_descent(config),
        part=config.objective.hidden,
        whole_weight=config.objective.whole_weight,
        augmentations=tuple(config.data.augment),
    )


def build_question_answering(config: Any) -> QuestionAnswering:
    """The task of a config that answers questions about clips."""
    model, heads = config.model, heads_of(config.model)
    if len(heads) != 1:
        raise ValueError(f"task 'question_answering' has one head, the answers; model.heads is {heads}")
    shapes = dict(answers=int(heads[0][1]), words=model.trunk.words, dtype=model.dtype)
    return QuestionAnswering(
        # Words of the clip, as those of the question, are the answerer's.
        make_module("classifier", ANSWERERS, model.classifier, trunk=make_trunk(config, "text"), **shapes),
        **make_descent(config),
        modalities=tuple(model.modalities),
        modality_drop=model.modality_drop,
        layout_weight=config.objective.layout_weight,
        frames_seen=model.frames_seen,
        frozen=model.frozen,
        augmentations=tuple(config.data.augment),
    )


def build_summarization(config: Any) -> Summarization:
    """The task of a config that learns which moments of a film matter."""
    model, objective, optimizer = config.model, config.objective, config.optimizer
    if objective.summary not in LEARNT:
        raise ValueError(
            f"objective.summary={objective.summary!r} is unknown; choose one of {', '.join(LEARNT)}"
        )
    scorer = make_module(
        "summarizer", {"scorer": Scorer}, dict(model.summarizer) | {"name": "scorer"}, dtype=model.dtype
    )
    refuse(config, "model.start", "model.frozen", "data.augment")
    settings = make_descent(config)
    settings.pop("start")
    of_file = config.data.source == "summaries"  # which has the vectors
    if objective.summary == "adversarial":
        settings |= {
            "rebuild": functools.partial(Reconstructor, width=scorer.width, dtype=model.dtype),
            "critic": Critic(width=scorer.width, heads=scorer.heads, dtype=model.dtype),
            "critic_optimizer": adam(optimizer, optimizer.discriminator_rate),
            "objective": make_objective(objective.name),
            "penalty": None if objective.penalty == "none" else make_penalty(objective.penalty),
            "penalty_weight": objective.penalty_weight,
        }
    return Summarization(
        scorer,
        vectors=Vectors(model.features, model.window, build) if model.features and not of_file else None,
        length=objective.summary_length,
        **settings,
    )


def build_feature_gan(config: Any) -> FeatureGAN:
    """The task of a config that learns to make feature vectors of a class."""
    data, model, objective, optimizer = config.data, config.model, config.objective, config.optimizer
    heads, rounds = heads_of(model), objective.critic_rounds
    if len(heads) != 1:
        raise ValueError(f"task 'feature_gan' has one head, the classes; model.heads is {heads}")
    refuse(config, "model.start", "model.frozen", "data.augment")
    if rounds < 1:
        raise ValueError(f"objective.critic_rounds={rounds} must be at least 1")
    if objective.class_weight and objective.class_from < 1:
        raise ValueError(
            "objective.class_weight needs a classifier that has learnt: set objective.class_from"
        )
    of_file = data.source == "vectors"
    paced = {name: rounds * optimizer[name] for name in ("warmup_steps", "decay_steps")}
    return FeatureGAN(
        make_module("generator", VECTOR_GENERATORS, model.generator),
        make_module("discriminator", CRITICS, model.discriminator),
        make_objective(objective.name),
        classes=int(heads[0][1]),
        attributes=data.vectors.attributes if of_file else 0,
        generator_optimizer=adam(optimizer, optimizer.generator_rate),
        critic_optimizer=adam(optimizer, optimizer.discriminator_rate, **paced),
        classifier_optimizer=adam(
            optimizer, optimizer.classifier_rate, b1=0.9, decay_steps=objective.class_from
        ),
        penalty=None if objective.penalty == "none" else make_penalty(objective.penalty),
        penalty_weight=objective.penalty_weight,
        rounds=rounds,
        class_weight=objective.class_weight,
        class_from=objective.class_from,
        ema_decay=optimizer.ema_decay,
        vectors=None if of_file else Vectors(model.features, data.frames, build),
        clips=model.vectors,
        generated=config.evaluate.generated,
    )


TASKS = {
    "generation": build_generation,
    "autoregression": build_autoregression,
    "classification": build_classification,
    "masked_video": build_masked_video,
    "summarization": build_summarization,
    "question_answering": build_question_answering,
    "feature_gan": build_feature_gan,
}


def build(config: Any) -> Task:
    """The task of a config. Raises ValueError for an unknown one, listing the names, and for bad numbers."""
    if config.task not in TASKS:
        raise ValueError(f"task={config.task!r} is unknown; choose one of {', '.join(TASKS)}")
    check_numbers(config)
    if config.task != "generation":
        sentences_of(config.data.text.encoder, False)
    return TASKS[config.task](config)
