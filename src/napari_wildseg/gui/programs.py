"""OpenGL programs of removed layers are deleted when the driver can bear it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from napari import Viewer

Command = tuple[Any, ...]


def deletions_after_draw(
    commands: Iterable[Command], held: list[Command], is_program: Callable[[Any], bool]
) -> list[Command]:
    """Move deletions of programs behind the next drawing.

    Parameters
    ----------
    commands : iterable of tuple
        vispy's GLIR commands: the verb, the id of the object, arguments.
    held : list of tuple
        Deletions that still wait for a drawing; changed in place.
    is_program : callable
        Whether an id is that of a program.

    Returns
    -------
    list of tuple
        The commands to carry out now, every other one in the order given.
    """
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


def delete_programs_late(viewer: Viewer) -> None:
    """See to it that the canvas deletes programs right after it has drawn something.

    vispy deletes the program of a removed layer at the end of a frame. Where Mesa draws in software
    (seen with 22.3), the second such program ends the process with the next frame, with three
    layers of any kind and no plugin. Nothing is kept for longer than until the next drawing. Where
    napari keeps its canvas elsewhere, this does nothing.

    Parameters
    ----------
    viewer : Viewer
        The viewer itself, no proxy.
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
