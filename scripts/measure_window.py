"""Measure how long the window does not answer while the plugin works, beside napari's own time.

    xvfb-run -a -s "-screen 0 1400x900x24" python scripts/measure_window.py [--height 4096]

Prints a line of JSON: for each action, what it took in seconds and the longest time, in
milliseconds, in which the event loop did not come round; and the same for the layer operation of
napari alone that the action needs (``"napari: ..."``): a label layer of the same size and colours
added, as many pixels set in one undo step, that step undone, an image layer added. The rule is:
no gap longer than napari's own plus 50 ms. The first label layer of a process takes much longer,
since napari then imports pandas and more: ``--napari-first`` measures that one. Also what opening
the widget took and how much memory both processes had at most. By default the first Auto-segment
is asked for at once; with ``--wait 10`` after ten seconds, when the engine process is ready. With
``--stacks``, what the GUI thread was doing during the longest gap of each action goes to stderr.
``--lazy`` opens the picture as a dask array, ``--views single`` makes large ones quicker, and
``--brief`` leaves out what asks the model about the whole plane again. Each figure is on stderr as
soon as it is there. The picture is made of a sample photograph, so no data set is needed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("NAPARI_CONFIG", "")

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer

NAMES = "cup of coffee, spoon, table, saucer, plate"


class Watchdog:
    """Measures the longest time in which the event loop did not come round.

    Parameters
    ----------
    stacks : bool
        Also note, on a thread of its own, what the GUI thread does when it is late.
    """

    def __init__(self, *, stacks: bool = False) -> None:
        self.reset()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._tick)
        self._timer.start()
        if stacks:
            gc.callbacks.append(self._collecting)
            threading.Thread(target=self._look, daemon=True).start()

    def reset(self) -> None:
        """Forget the gaps seen so far."""
        self._collects = 0.0
        self.gaps: list[float] = []
        self._seen: list[str] = []
        self.worst: list[tuple[float, list[str]]] = []
        self._last = time.perf_counter()

    def _tick(self) -> None:
        now = time.perf_counter()
        gap = now - self._last
        self.gaps.append(gap)
        if gap > 0.04:
            self.worst.append((gap, self._seen))
        self._last, self._seen = now, []

    def _collecting(self, phase: str, info: dict[str, int]) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._collects = now
        elif now - self._collects > 0.02:
            took = f"{(now - self._collects) * 1000:.0f} ms"
            where = threading.current_thread().name
            self._seen.append(f"garbage of generation {info['generation']}: {took}, in {where}")

    def _look(self) -> None:
        main = threading.main_thread().ident
        while True:
            time.sleep(0.008)
            if time.perf_counter() - self._last > 0.03:
                frame = sys._current_frames().get(main)
                if frame is None:
                    return
                stack = traceback.extract_stack(frame)
                self._seen.append(" < ".join(f"{f.name}:{f.lineno}" for f in reversed(stack[-9:])))


def picture(height: int, width: int) -> Any:
    """Return the coffee photograph, tiled in mirror images to any size."""
    from skimage import data

    photo = data.coffee()
    extra = [(0, max(0, n - m)) for n, m in zip((height, width), photo.shape[:2], strict=True)]
    return np.ascontiguousarray(np.pad(photo, (*extra, (0, 0)), "symmetric")[:height, :width])


def measure_napari(viewer: Any, controller: Any, shape: tuple[int, int], alone: Any) -> None:
    """Do with napari alone what the actions do with layers: layers of its own, no plugin."""
    from napari_wildseg.gui.layers.label_pair import colours_and_features

    colours, features = colours_and_features(controller.classes)
    data = np.zeros(shape, np.uint8)
    before = set(viewer.layers)
    made = []
    alone(
        "a label layer added",
        lambda: made.append(viewer.add_labels(data, colormap=colours, features=features)),
    )
    layer = made[0]
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3):
        spots = np.nonzero(rng.random(data.shape) < share)

        def write(spots: Any = spots) -> None:
            layer.data_setitem(spots, np.ones(len(spots[0]), data.dtype))

        alone(f"{share:.0%} of the pixels set", write)
        alone(f"{share:.0%} of the pixels undone", layer.undo)
    relevance = np.zeros(data.shape, np.float32)
    alone(
        "an image layer added",
        lambda: viewer.add_image(relevance, colormap="magma", blending="additive"),
    )
    for added in [each for each in viewer.layers if each not in before]:
        viewer.layers.remove(added)


def main() -> None:
    """Open the window, work in it, print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int)
    parser.add_argument("--stacks", action="store_true")
    parser.add_argument("--rounds", type=int, default=2, help="times to paint and refine")
    parser.add_argument("--views", default="default")
    parser.add_argument("--lazy", action="store_true")
    parser.add_argument("--brief", action="store_true", help="first run, refine, undo, map")
    parser.add_argument(
        "--napari-first", action="store_true", help="the first label layer is napari's own"
    )
    parser.add_argument("--wait", type=float, default=0.0, help="seconds before the first run")
    args = parser.parse_args()
    width = args.width or (640 if args.height == 480 else args.height)
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1300, 850)
    started = time.perf_counter()
    _, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
    opened = time.perf_counter() - started
    image = picture(args.height, width)
    print("the picture is made", file=sys.stderr, flush=True)
    if args.lazy:
        import dask.array

        image = dask.array.from_array(image, chunks=(512, 512, 3))
    viewer.add_image(image, name="photo", rgb=True, contrast_limits=(0, 255))
    controller = widget.controller
    controller.settings = replace(controller.settings, views=args.views)
    controller.safekeeping.store = None  # nothing of the annotator's own is touched
    controller.add_classes(NAMES)
    dog = Watchdog(stacks=args.stacks)
    found: dict[str, Any] = {"opening the widget": {"seconds": round(opened, 2)}}

    def settle(seconds: float) -> None:
        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def run(name: str, act: object) -> None:
        dog.reset()
        started = time.perf_counter()
        act()  # type: ignore[operator]
        loop, poll = QEventLoop(), QTimer()
        poll.timeout.connect(lambda: controller.working or loop.quit())
        poll.start(5)
        loop.exec()
        took = time.perf_counter() - started
        settle(0.5)  # what follows on timers, and drawing, count as well
        note(name, took)
        settle(0.3)

    def alone(name: str, act: object) -> None:
        dog.reset()
        started = time.perf_counter()
        act()  # type: ignore[operator]
        settle(0.6)
        note(f"napari: {name}", time.perf_counter() - started - 0.6)

    def note(name: str, took: float) -> None:
        longest = max(dog.gaps, default=0.0)
        found[name] = {"seconds": round(took, 2), "longest_gap_ms": round(longest * 1000)}
        print(name, found[name], file=sys.stderr, flush=True)
        late = [round(g * 1000) for g in sorted(dog.gaps, reverse=True)[:5]]
        if args.stacks:
            print(f"== {name}: {took:.2f} s, gaps {late} ms", file=sys.stderr)
            for gap, lines in sorted(dog.worst, reverse=True)[:4]:
                print(f"  {gap * 1000:.0f} ms", file=sys.stderr)
                for line in lines:
                    print("   ", line, file=sys.stderr)

    settle(0.5)  # the window is drawn
    print("the window is drawn", file=sys.stderr, flush=True)
    if args.wait:
        dog.reset()
        settle(args.wait)
        note("getting ready", args.wait)
    if args.napari_first:
        measure_napari(viewer, controller, (args.height, width), alone)
    run("first auto-segment", controller.auto_segment)
    engine = controller.pool.engine
    labels = viewer.layers["photo labels"]
    for number in range(args.rounds):
        at = np.array(labels.data.shape) * (2 + number) // (5 + number)
        labels.brush_size = max(10, args.height // 60)
        labels.paint(tuple(at), 2 + number % 2)
        run(f"refine {number + 1}", controller.refine)
    if not args.brief:
        controller.session.plane_state(controller.plane).slot.empty()
        run("auto-segment again", controller.auto_segment)
        run("threshold", lambda: controller.set_threshold(0.4))
        run("threshold settled", controller.live_threshold.on_released)
    run("undo", labels.undo)
    run("refine after undo", controller.refine)
    run("relevance map", lambda: controller.relevance_maps.show(1))
    if not args.napari_first:
        measure_napari(viewer, controller, (args.height, width), alone)
    if engine.pid is not None and sys.platform.startswith("linux"):
        status = Path(f"/proc/{engine.pid}/status").read_text().splitlines()
        peak = next(line for line in status if line.startswith("VmHWM"))
        found["engine_peak_memory_mb"] = round(int(peak.split()[1]) / 1e3)
    unit = 1e6 if sys.platform == "darwin" else 1e3
    found["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
    print(json.dumps({"height": args.height, "width": width, **found}))
    viewer.close()


if __name__ == "__main__":
    main()
