"""The next picture: of the layer list, else of the picture's folder."""

from __future__ import annotations

import weakref
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer

from napari_wildseg.engine.progress import Progress
from napari_wildseg.gui.annotation.image_identity import source_of
from napari_wildseg.gui.layers.display import RELEVANCE, channels_of
from napari_wildseg.gui.layers.label_pair import set_visible
from napari_wildseg.gui.notices import pluralise

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_wildseg.engine.progress import Steps
    from napari_wildseg.gui.actions.controller import Controller
    from napari_wildseg.gui.annotation.session import ImageSession

LABELS_MARK = ".labels"
"""Stem ending of label files that lie beside their pictures: ``cat.labels.png``."""


class NextImage:
    """Hides a finished picture and shows the next one.

    Finished pictures are hidden. Those that were opened here are removed from the layer list once
    another one is finished, so that one can go back by one picture and layers do not pile up.
    """

    def __init__(self, controller: Controller) -> None:
        self._controller = weakref.proxy(controller)
        self._done: weakref.WeakKeyDictionary[Image, weakref.WeakSet[Image]] = (
            weakref.WeakKeyDictionary()
        )
        self._opened: weakref.WeakSet[Image] = weakref.WeakSet()
        self._paths: set[Path] = set()
        self.count = 0
        """How many pictures were finished."""

    def open_next(self, image: Image, written: str) -> None:
        """Show the next picture after one was exported."""
        controller = self._controller
        if image not in self._done:
            self.count += 1
        shown = channels_of(image, controller.viewer.layers) if image.visible else [image]
        channels = weakref.WeakSet(shown)
        self._done.update(dict.fromkeys(channels, channels))
        path = source_of(image)
        if path:
            self._paths.add(Path(path))
        following = self._in_list(image)
        if following is not None:
            self._show(following, image, written)
        elif path:
            done = frozenset(self._paths)
            steps = partial(read_next, Path(path), done)
            take = partial(self._on_read, image, written)
            controller.runner.run("Next image", None, steps, take, quiet=True)
        else:
            self._report_last(written)

    def show_finished(self, image: Image) -> None:
        """Show a finished picture that was chosen once more, and its labels."""
        if image in self._done and not image.visible:
            for channel in self._done[image]:
                set_visible(channel, True)
            self._controller.apply_visibility()

    # ------------------------------------------------------------------ internal

    def _in_list(self, image: Image) -> Image | None:
        """Return the next unfinished picture further down the layer list, or else from its top."""
        layers = list(self._controller.viewer.layers)
        place = layers.index(image) if image in layers else 0
        around = [*reversed(layers[:place]), *reversed(layers[place:])]
        return next((layer for layer in around if self._is_unfinished(layer)), None)

    def _is_unfinished(self, layer: Layer) -> bool:
        return (
            isinstance(layer, Image)
            and layer.metadata.get("wildseg") != RELEVANCE
            and layer not in self._done
        )

    def _on_read(
        self, before: Image, written: str, found: tuple[Path, list[Any], list[str]] | None
    ) -> None:
        if found is None:
            self._report_last(written)
            return
        path, layers, left_out = found
        viewer = self._controller.viewer
        new: Image | None = None
        for data, *rest in layers:
            arguments = dict(rest[0]) if rest else {}
            arguments.setdefault("name", path.stem)
            metadata = dict(arguments.pop("metadata", {}))
            metadata["wildseg"] = {**metadata.get("wildseg", {}), "path": str(path)}
            added = viewer.add_image(data, metadata=metadata, **arguments)
            for each in added if isinstance(added, list) else [added]:
                self._opened.add(each)
                new = new or each
        if new is None:
            self._report_last(written)
            return
        text = f"{written} Left out, since it cannot be read: {', '.join(left_out)}."
        self._show(new, before, text if left_out else written)

    def _show(self, image: Image, before: Image, written: str) -> None:
        controller = self._controller
        viewer = controller.viewer
        old = [layer for layer in self._opened if layer in self._done and layer is not before]
        session = controller.sessions.get(before)
        away = [*self._done.get(before, ()), *(session.all_layers() if session else ())]
        place = viewer.layers.index(image)
        covering = [layer for layer in viewer.layers[place + 1 :] if self._is_unfinished(layer)]
        together = channels_of(image, viewer.layers)
        for layer in [*away, *(layer for layer in covering if layer not in together)]:
            set_visible(layer, False)
        for layer in together:
            set_visible(layer, True)
        controller.choose_image(image)
        for layer in old:
            self._remove(layer)
        for done in controller.sessions:
            if done.image in self._done and done.image is not before:
                done.forget_encodings()
        controller.image_chosen.emit()
        viewer.layers.selection.active = image
        viewer.reset_view()
        what = "press Auto-segment." if controller.classes else "type its class names."
        controller.status.emit(f"{written} Now {image.name}: {what}")

    def _remove(self, image: Image) -> None:
        """Remove a finished picture from the layer list, unless it was changed since."""
        controller = self._controller
        layers = controller.viewer.layers
        session: ImageSession | None = controller.sessions.get(image)
        if session is not None and session.unsaved:
            return
        labels = []
        if session is not None:
            session.settle()
            labels = session.all_layers()
            controller.autosave.close(session)
            # The labels are in a file: nothing is left that would have to be offered again.
            session.tracked, session.claim = {}, None
        for layer in [*labels, image]:
            with suppress(ValueError):
                layers.remove(layer)

    def _report_last(self, written: str) -> None:
        text = pluralise(self.count, "That was the last image: {n} [image is|images are] done.")
        self._controller.status.emit(f"{written} {text}")


def pictures_after(path: Path, done: Collection[Path] = ()) -> list[Path]:
    """Return the other pictures of a folder, those after a picture first."""
    from napari_wildseg.io.formats.png import is_sidecar
    from napari_wildseg.io.image_files import is_picture

    def is_labels(file: Path) -> bool:
        side = file.with_suffix(".json")
        marked = LABELS_MARK in Path(file.name).suffixes or ".overlay" in file.suffixes
        return marked or (file.suffix.lower() == ".png" and side.is_file() and is_sidecar(side))

    def order(file: Path) -> tuple[str, str]:
        return file.name.casefold(), file.name

    found = sorted((f for f in path.parent.iterdir() if f not in done and f != path), key=order)
    found = [f for f in found if is_picture(f) and not is_labels(f)]
    after = [f for f in found if order(f) > order(path)]
    return after + found[: len(found) - len(after)]


def read_next(
    path: Path, done: Collection[Path] = ()
) -> Steps[tuple[Path, list[Any], list[str]] | None]:
    """Read the next picture of a folder as napari's own reader does; on the worker."""
    from npe2 import read

    from napari_wildseg.engine.pictures.picture_files import open_picture

    yield Progress(0, 1, "Reading the next image")
    left_out: list[str] = []
    try:
        pictures = pictures_after(path, done)
    except OSError:
        return None
    for file in pictures:
        try:
            if not file.is_dir() and not file.name.lower().endswith((".tif", ".tiff")):
                open_picture(file).close()  # napari's reader leaves broken files open
            layers = [
                layer
                for layer in read([str(file)], stack=False, plugin_name="napari")
                if len(layer) < 3 or layer[2] == "image"
            ]
        except Exception:  # a reader may raise anything on a broken file
            left_out.append(file.name)
            continue
        if layers:
            return file, layers, left_out
    return None
