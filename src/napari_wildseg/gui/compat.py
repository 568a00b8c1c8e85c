"""Guards against crashes of napari with software OpenGL: the only place that changes the host.

Each guard names the versions it is for, when it can be deleted, and the report for upstream. Each
does nothing where napari or vispy keep their parts elsewhere. ``tests/gui/test_compat.py`` runs
each case with and without its guard in a process of its own. The third guard, against triton
beside Mesa, is ``engine/import_guard.py``: the window itself imports no PyTorch.
"""

from collections.abc import Callable, Iterable
from typing import Any

from napari import Viewer

Command = tuple[Any, ...]


def install(viewer: Viewer) -> None:
    """Install all guards in a viewer; more than once is harmless."""
    hide_box_of_brush_circle(viewer)
    delete_programs_after_draw(viewer)


def hide_box_of_brush_circle(viewer: Viewer) -> None:
    """Switch off the background box of the circle around the brush.

    Versions: napari 0.9.0 to 0.9.2 with Mesa 22.3 (llvmpipe). Delete it when napari draws no box
    of an overlay without size. Report for napari:

        Title: Segmentation fault with llvmpipe after the last layer is removed in paint mode

        Every canvas overlay has a background box since 0.9. That of the brush circle has no size.
        It becomes visible when the visibility of a layer is toggled while a Labels layer is in
        paint mode, and stays visible when the last layer is removed. Mesa's llvmpipe (22.3.6)
        then ends the process in the next draw. To reproduce: add an image and a Labels layer, set
        ``labels.mode = "paint"``, toggle ``image.visible`` twice, remove both layers, call
        ``viewer.screenshot(canvas_only=False)``. Expected: an overlay without size has no box.
    """
    canvas = getattr(viewer, "canvas", None)
    circle = getattr(getattr(canvas, "overlays", None), "_brush_circle", None)
    if circle is not None and getattr(circle, "box", False):
        circle.box = False


def delete_programs_after_draw(viewer: Viewer) -> None:
    """Have OpenGL programs of removed layers deleted right after something was drawn.

    Versions: vispy 0.14 to 0.16 with Mesa 22.3 (llvmpipe). Delete it when Mesa 22 is no longer in
    a supported distribution (Debian 12: June 2028), or vispy deletes programs after a draw.
    Report for vispy:

        Title: Segmentation fault with llvmpipe when programs are deleted between two frames

        A GLIR program that is no longer referenced is deleted by a DELETE command at the end of a
        frame. With Mesa's llvmpipe (22.3.6), deleting the second program this way ends the process
        with the next frame. To reproduce in napari, without plugins: add three layers, take a
        screenshot, then remove one layer after the other and take a screenshot after each.
        Deleting a program directly after a DRAW command of another program does not crash.
    """
    window = getattr(viewer, "window", None)
    canvas = getattr(getattr(window, "_qt_viewer", None), "canvas", None)
    context = getattr(getattr(canvas, "_scene_canvas", None), "context", None)
    parser: Any = getattr(getattr(context, "shared", None), "parser", None)
    if not hasattr(parser, "get_object") or "parse" in vars(parser):
        return
    parse = parser.parse
    held: list[Command] = []

    def is_program(number: Any) -> bool:
        return type(parser.get_object(number)).__name__ == "GlirProgram"

    parser.parse = lambda commands: parse(deletions_after_draw(commands, held, is_program))


def deletions_after_draw(
    commands: Iterable[Command], held: list[Command], is_program: Callable[[Any], bool]
) -> list[Command]:
    """Move deletions of programs behind the next drawing."""
    now: list[Command] = []
    for command in commands:
        if command[0] == "DELETE" and is_program(command[1]):
            held.append(command)
            continue
        now.append(command)
        if command[0] == "DRAW":
            now += held
            held.clear()
    return now
