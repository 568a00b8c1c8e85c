"""Programs of removed layers are deleted right after a drawing, never just before one."""

from __future__ import annotations

from napari_wildseg.gui.programs import deletions_after_draw


def test_deletions_of_programs_wait_for_the_next_drawing():
    held = []
    first = [("DRAW", 1), ("DELETE", 2), ("DELETE", 3), ("FUNC", "glFinish")]
    now = deletions_after_draw(first, held, lambda number: number == 2)
    assert now == [("DRAW", 1), ("DELETE", 3), ("FUNC", "glFinish")]
    now = deletions_after_draw([("DRAW", 1), ("DRAW", 4)], held, lambda number: False)
    assert now == [("DRAW", 1), ("DELETE", 2), ("DRAW", 4)]
    assert not held


def test_the_canvas_of_the_widget_holds_them(desk):
    parser = desk().viewer.window._qt_viewer.canvas._scene_canvas.context.shared.parser
    kind = type("GlirProgram", (), {"gone": False, "draw": lambda self: None})
    kind.delete = lambda self: setattr(self, "gone", True)
    removed, drawn = kind(), kind()
    parser._objects.update({-1: removed, -2: drawn})
    parser.parse([("DELETE", -1)])
    assert not removed.gone
    parser.parse([("DRAW", -2)])
    assert removed.gone
    del parser._objects[-2]
