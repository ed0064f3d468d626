"""Using what was trained: `load` gives a model that samples and streams, or one that says what films show.

Or one that makes films short, or answers questions about them, or makes feature vectors: by the run's task.
"""

import os

from vgm_jax.inference import generator
from vgm_jax.inference.asking import AnswerModel, load_answerer
from vgm_jax.inference.generator import GeneratorModel
from vgm_jax.inference.playing import PlayModel, load_player
from vgm_jax.inference.several import Understander
from vgm_jax.inference.summarizing import SummaryModel, load_summarizer
from vgm_jax.inference.understanding import ClassifierModel, load_classifier
from vgm_jax.inference.vectors import VectorModel, load_vectors
from vgm_jax.inference.zoo import find_run, tasks_of
from vgm_jax.training.workdir import read_config

# By task; other runs are generators.
LOADERS = {"classification": load_classifier, "summarization": load_summarizer}
LOADERS |= {"question_answering": load_answerer, "feature_gan": load_vectors}
SAMPLERS = {"autoregression": load_player}  # of generators; others make any moment by itself


def load(
    model: str | os.PathLike, step: int | None = None
) -> GeneratorModel | PlayModel | ClassifierModel | SummaryModel | AnswerModel | VectorModel | Understander:
    """The trained model of a workdir: of the checkpoint that validation picked, or of `step`, or of the last.

    Or of a name, where it comes with the package (`inference.zoo`); of one for several tasks, all of them.
    Raises WorkdirError where there is no run or no checkpoint, ValueError where there is no use for its task,
    and for a `step` of a model for several.
    """
    if tasks_of(model):
        if step is not None:
            raise ValueError(f"{model} is for several tasks, each of its own update: step={step} is of none")
        return Understander(model)
    model = find_run(model)
    return (LOADERS | SAMPLERS).get(read_config(model).task, generator.load)(model, step)


def load_sampler(model: str | os.PathLike, step: int | None = None) -> GeneratorModel | PlayModel:
    """`load`, of a model that makes video. Raises as that, and ValueError for a run of another task."""
    model = find_run(model)
    return SAMPLERS.get(read_config(model).task, generator.load)(model, step)


__all__ = ["AnswerModel", "ClassifierModel", "GeneratorModel", "PlayModel", "SummaryModel", "Understander"]
__all__ += ["VectorModel"]
__all__ += ["load", "load_answerer", "load_classifier", "load_player", "load_sampler", "load_summarizer"]
__all__ += ["load_vectors"]
