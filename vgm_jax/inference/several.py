"""One name for what several networks of one family do: say what a film shows, answer, summarize."""

import functools
import os

from vgm_jax.inference.asking import AnswerModel, load_answerer
from vgm_jax.inference.summarizing import SummaryModel, load_summarizer
from vgm_jax.inference.understanding import ClassifierModel, load_classifier


class Understander:
    """A model for several tasks: `classifier`, `answerer` and `summarizer`, each loaded when first used.

    Raises WorkdirError, naming those that there are, where it has none for a task.
    """

    def __init__(self, model: str | os.PathLike):
        self._model = model

    @functools.cached_property
    def classifier(self) -> ClassifierModel:
        """Says what films show: `classify`, `stream`, `features`."""
        return load_classifier(self._model)

    @functools.cached_property
    def answerer(self) -> AnswerModel:
        """Answers questions about films: `ask`, `moments`."""
        return load_answerer(self._model)

    @functools.cached_property
    def summarizer(self) -> SummaryModel:
        """Chooses what a film's summary shows: `summary`, `importance`."""
        return load_summarizer(self._model)
