"""The plot of a comparison: refused early, drawn the same each time."""

from __future__ import annotations

import pytest

from napari_wildseg.cli.comparison_plot import check_plot, draw_comparison
from napari_wildseg.engine.errors import InputError
from napari_wildseg.evaluation import RefinerFigures


def figures():
    return [
        RefinerFigures("default", 0.5, 0.4, 0.3, 0.2, [0.5, 0.6, 0.7], 3.0),
        RefinerFigures("random_walker", 0.4, 0.3, 1.0, None, [0.4, 0.45, 0.5], 3.0),
    ]


@pytest.mark.parametrize(
    ("ending", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")]
)
def test_a_plot_is_a_picture_of_its_kind(ending, magic):
    pytest.importorskip("matplotlib")
    assert draw_comparison(figures(), "photographs", ending).startswith(magic)


def test_the_same_figures_give_the_same_bytes():
    pytest.importorskip("matplotlib")
    assert draw_comparison(figures(), "a", ".png") == draw_comparison(figures(), "a", ".png")


def test_what_cannot_be_written_is_refused_first(tmp_path):
    with pytest.raises(InputError, match=r"end it with one of \.png"):
        check_plot(tmp_path / "plot.bmp")
    with pytest.raises(InputError, match="There is no folder"):
        check_plot(tmp_path / "missing" / "plot.png")
