"""Count the modules of the package whose functions run in three journeys.

    xvfb-run -a python scripts/count_modules.py

Prints the counts as JSON. The journeys are an array in Python (`Segmenter`: set_image and segment),
the first click on Auto-segment, and Refine after a stroke. Functions of the engine process count
too. What runs only while modules are imported does not.
"""

from __future__ import annotations

import cProfile
import json
import os
import sys
import tempfile
import threading
import time
from functools import partial
from inspect import CO_NEWLOCALS
from pathlib import Path
from typing import Any

FILE = "WILDSEG_COUNT_MODULES"
PROFILES: list[cProfile.Profile] = []


def watch(*_: object) -> None:
    """Note which functions run in this thread and in those that it starts."""
    sys.setprofile(None)
    threading.setprofile(watch)
    PROFILES.append(cProfile.Profile())
    PROFILES[-1].enable()


def modules() -> set[str]:
    """Return the modules of the package whose functions ran since `watch`."""
    codes = [entry.code for profile in PROFILES for entry in profile.getstats()]
    # The bodies of modules and classes have no locals of their own.
    ran = {c.co_filename for c in codes if not isinstance(c, str) and c.co_flags & CO_NEWLOCALS}
    return {name.partition("/src/napari_wildseg/")[2] for name in ran} - {""}


def note_often(path: str) -> None:
    """Write the modules that ran to a file again and again; begin anew if it was removed."""
    while not time.sleep(0.2):
        if not Path(path).exists():
            forget()
        part = Path(f"{path}.part")
        part.write_text("\n".join(modules()))
        part.replace(path)


def forget() -> None:
    """Begin to count anew."""
    for profile in PROFILES:
        profile.clear()


def watch_engine() -> None:
    """Watch an engine process from its start."""
    threading.Thread(target=note_often, args=[os.environ[FILE]], daemon=True).start()
    watch()


def array() -> dict[str, list[str]]:
    """An array in Python."""
    from skimage import data

    import napari_wildseg as ws

    watch()
    segmenter = ws.Segmenter(views="single")
    segmenter.set_image(data.coffee()[::2, ::2])
    segmenter.segment("cup of coffee, table")
    return {"array": sorted(modules())}


def quit_if_done(controller: Any, loop: Any) -> None:
    """End the loop once no job runs."""
    if not controller.working:
        loop.quit()


def engine_modules(*, anew: bool = False) -> set[str]:
    """Return the modules that ran in the engine process; none if there is no such process."""
    file = Path(os.environ[FILE])
    if not file.exists():
        return set()
    if anew:
        file.unlink()
    noted = time.time()
    while not file.exists() or file.stat().st_mtime <= noted:
        time.sleep(0.1)
    return set(file.read_text().split())


def window() -> dict[str, list[str]]:
    """A click on Auto-segment, then Refine after a stroke."""
    import napari
    from qtpy.QtCore import QEventLoop, QTimer
    from qtpy.QtWidgets import QWidget
    from skimage import data

    viewer = napari.Viewer(show=False)
    viewer.add_image(data.coffee()[::2, ::2], name="coffee")
    _, widget = viewer.window.add_plugin_dock_widget("napari-wildseg", "Wildseg")
    controller = widget.controller
    controller.add_classes("cup of coffee, table")
    watch()
    found = {}
    for journey in ("click", "stroke"):
        engine_modules(anew=True)
        forget()
        if journey == "click":
            widget.findChild(QWidget, "auto_segment").click()
        else:
            viewer.layers["coffee labels"].paint((20, 30), 2)
            widget.findChild(QWidget, "refine").click()
        loop, poll = QEventLoop(), QTimer()
        poll.timeout.connect(partial(quit_if_done, controller, loop))
        poll.start(20)
        loop.exec()
        found[journey] = sorted(modules() | engine_modules())
    viewer.close()
    return found


def main() -> None:
    """Run the journeys in processes of their own."""
    import subprocess

    if len(sys.argv) > 1:
        print(json.dumps({"array": array, "window": window}[sys.argv[1]]()))
        return
    with tempfile.TemporaryDirectory() as folder:
        # Every Python that starts, the engine process too, begins to watch by itself.
        (Path(folder) / "sitecustomize.py").write_text(
            f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "import count_modules\n"
            "if 'napari_wildseg.process' in sys.orig_argv: count_modules.watch_engine()\n"
        )
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path, FILE: str(Path(folder) / "engine")}
        counts = {}
        for part in ("array", "window"):
            run = [sys.executable, __file__, part]
            done = subprocess.run(run, env=environment, stdout=subprocess.PIPE, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            counts |= {journey: len(names) for journey, names in found.items()}
            print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main()
