"""Measure whether the model is slower on a thread than on the main thread.

    xvfb-run -a -s "-screen 0 1400x900x24" python scripts/measure_thread.py

Some plugins gave their worker threads up because PyTorch seemed much slower in them. This prints
a line of JSON: milliseconds of the bare forward passes of a photograph's views, and of a whole
segmentation, the fastest and the median of several, each run

* on the main thread, the window standing still,
* on a new thread each time, as napari's ``thread_worker`` does it,
* on the plugin's one worker thread, the window idle,
* on the plugin's one worker thread, the window drawn anew 20 times a second, as when an
  annotator moves the image about.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("NAPARI_CONFIG", "")

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.jobs.worker_thread import Job, shared_worker

NAMES = "cup of coffee, spoon, table, saucer, plate"


def wait_for(done: threading.Event) -> None:
    """Turn the event loop until something is done."""
    loop, poll = QEventLoop(), QTimer()
    poll.timeout.connect(lambda: done.is_set() and loop.quit())
    poll.start(5)
    loop.exec()


def on_main(work: Callable[[], float]) -> float:
    """Run on this thread."""
    return work()


def on_new_thread(work: Callable[[], float]) -> float:
    """Run on a thread of its own."""
    found: list[float] = []
    done = threading.Event()
    threading.Thread(target=lambda: (found.append(work()), done.set())).start()
    wait_for(done)
    return found[0]


def on_worker(work: Callable[[], float]) -> float:
    """Run on the plugin's worker thread."""
    found: list[float] = []
    done = threading.Event()

    def steps() -> Iterator[Progress]:
        yield Progress(0, 1, "Measuring")
        found.append(work())

    shared_worker().submit(Job(steps, on_end=done.set))  # type: ignore[arg-type]
    wait_for(done)
    return found[0]


def main() -> None:
    """Open a window, run the same work in each way, print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    import torch
    from skimage import data

    from napari_wildseg import Segmenter
    from napari_wildseg.engine.images.tower_geometry import geometry_of
    from napari_wildseg.engine.images.views import make_views, render

    photo = np.asarray(Image.fromarray(data.coffee()).resize((640, 480)))
    viewer = napari.Viewer(show=True)
    viewer.add_image(photo)
    segmenter = Segmenter(cache_bytes=0)
    geometry = geometry_of(segmenter.model)
    views = make_views(
        photo.shape[:2], "default", base_side=geometry.base_side, multiple=geometry.multiple
    )
    batches = [
        render(photo, view)[None].contiguous(memory_format=torch.channels_last) for view in views
    ]

    def forward() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            for batch in batches:
                segmenter.model.visual(batch)
        return time.perf_counter() - started

    def segment() -> float:
        started = time.perf_counter()
        segmenter.set_image(photo)
        segmenter.segment(NAMES)
        return time.perf_counter() - started

    frames = 0
    drawing = QTimer()
    drawing.setInterval(50)
    canvas = viewer.window._qt_viewer.canvas.native

    def draw() -> None:
        nonlocal frames
        frames += 1
        viewer.camera.angles = (0, 0, 0)
        canvas.repaint()

    drawing.timeout.connect(draw)
    found: dict[str, object] = {"threads": torch.get_num_threads()}
    for title, work in (("forward", forward), ("segment", segment)):
        times: dict[str, list[float]] = {}
        for _ in range(args.repeats + 1):
            for way, run, busy in (
                ("main thread", on_main, False),
                ("new thread", on_new_thread, False),
                ("worker, window idle", on_worker, False),
                ("worker, window drawing", on_worker, True),
            ):
                if busy:
                    drawing.start()
                took = run(work)
                times.setdefault(way, []).append(took)
                print(f"{title}, {way}: {took * 1000:.0f} ms", file=sys.stderr)
                drawing.stop()
                QApplication.processEvents()
        found[title] = {
            way: [round(min(t[1:]) * 1000), round(statistics.median(t[1:]) * 1000)]
            for way, t in times.items()  # the first run warms up
        }
    found["frames"] = frames
    print(json.dumps(found))
    viewer.close()


if __name__ == "__main__":
    main()
