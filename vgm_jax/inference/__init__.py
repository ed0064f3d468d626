"""Using what was trained: `load` gives a model that samples and streams, or one that says what films show.

Or one that makes films short, or answers questions about them, or makes feature vectors: by the run's task.
"""

import os

from vgm_jax.inference import generator
from vgm_jax.inference.asking import AnswerModel, load_answerer
from vgm_jax.inference.generator import GeneratorModel
from vgm_jax.inference.summarizing import SummaryModel, load_summarizer
from vgm_jax.inference.understanding import ClassifierModel, load_classifier
from vgm_jax.inference.vectors import VectorModel, load_vectors
from vgm_jax.inference.zoo import find_run
from vgm_jax.training.workdir import read_config

# By task; other runs are generators.
LOADERS = {"classification": load_classifier, "summarization": load_summarizer}
LOADERS |= {"question_answering": load_answerer, "feature_gan": load_vectors}


def load(
    model: str | os.PathLike, step: int | None = None
) -> GeneratorModel | ClassifierModel | SummaryModel | AnswerModel | VectorModel:
    """The trained model of a workdir: of the checkpoint that validation picked, or of `step`, or of the last.

    Or of a name, where it comes with the package (`inference.zoo`). Raises WorkdirError where there is no run
    or no checkpoint, ValueError where there is no use for its task.
    """
    model = find_run(model)
    return LOADERS.get(read_config(model).task, generator.load)(model, step)


__all__ = ["AnswerModel", "ClassifierModel", "GeneratorModel", "SummaryModel", "load", "load_answerer"]
__all__ += ["VectorModel", "load_classifier", "load_summarizer", "load_vectors"]
