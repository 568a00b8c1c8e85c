"""Evaluation: data sets, metrics and simulated annotators."""

from napari_wildseg.evaluation.compare import RefinerFigures, compare, compare_steps
from napari_wildseg.evaluation.evaluate import Evaluation, evaluate, evaluate_steps
from napari_wildseg.evaluation.evaluation_set import EvaluationSet
from napari_wildseg.evaluation.published import open_set
from napari_wildseg.evaluation.series import Series, series_steps

__all__ = [
    "Evaluation",
    "EvaluationSet",
    "RefinerFigures",
    "Series",
    "compare",
    "compare_steps",
    "evaluate",
    "evaluate_steps",
    "open_set",
    "series_steps",
]
