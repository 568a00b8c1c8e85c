"""Many images at once: work lists, a journal that outlives a crash, data sets and a report.

Above `io` and the engine, below the terminal and the window; imports neither napari nor Qt.
"""

from __future__ import annotations

from napari_wildseg.batch.class_plan import ClassPlan, plan_classes
from napari_wildseg.batch.report import Report, read_report
from napari_wildseg.batch.review import ReviewItem, ReviewQueue
from napari_wildseg.batch.run import Batch, batch_steps
from napari_wildseg.batch.settings import BatchSettings
from napari_wildseg.batch.worklist import WorkItem, list_images

__all__ = [
    "Batch",
    "BatchSettings",
    "ClassPlan",
    "Report",
    "ReviewItem",
    "ReviewQueue",
    "WorkItem",
    "batch_steps",
    "list_images",
    "plan_classes",
    "read_report",
]
