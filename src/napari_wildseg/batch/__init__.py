"""Batches of images: work list, journal, data sets, report and review.

Uses `io` and `engine`; imports neither napari nor Qt.
"""

from napari_wildseg.batch.batch_settings import BatchSettings
from napari_wildseg.batch.plan.class_plan import ClassPlan, plan_classes
from napari_wildseg.batch.plan.worklist import WorkItem, list_images
from napari_wildseg.batch.report import Report, read_report
from napari_wildseg.batch.review_queue import ReviewItem, ReviewQueue
from napari_wildseg.batch.run_batch import Batch, batch_steps

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
