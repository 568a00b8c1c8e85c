"""The table of objects as CSV."""

import csv
import io

import numpy as np

from napari_wildseg.io.objects.object_image import ObjectImage


def table_csv(objects: ObjectImage) -> bytes:
    """Return the table as CSV in UTF-8, a line an object, with the unit in the last column."""
    table = objects.table()
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*table, "unit"])
    for row in zip(*(column.tolist() for column in table.values()), strict=True):
        writer.writerow([*map(_plain, row), objects.labels.units])
    return out.getvalue().encode("utf-8", "backslashreplace")


def _plain(value: object) -> object:
    """Write whole numbers without a point, others with up to eight digits."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else float(np.format_float_positional(value, 8))
    return value
