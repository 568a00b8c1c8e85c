"""The first window, and help: the page for a section, the page for a message."""

from __future__ import annotations

import pytest
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QShortcut

from napari_wildseg.gui.help import HELP_TOPICS, find_topic, page_for


def test_a_sample_photograph_ends_the_first_steps(desk):
    d = desk()
    welcome = d.widget.welcome
    assert not welcome.isHidden()
    assert "Open an image" in d.control("first_steps").text()
    d.run("open_sample")
    assert d.controller.image.name == "coffee"
    assert [c.name for c in d.controller.classes] == ["cup of coffee", "spoon", "table"]
    assert welcome.isHidden()
    assert "press Auto-segment" in d.status
    d.viewer.layers.clear()
    assert not welcome.isHidden()


def test_help_opens_the_page_of_the_section_or_message(desk, monkeypatch):
    opened = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    d = desk()
    assert page_for(d.control("memory")) == "memory.md#in-the-window"
    assert page_for(d.control("auto_segment")) == page_for(None) == "widget.md#the-loop"
    assert page_for(d.control("vocabulary")) == "labels.md#vocabularies"
    f1 = next(s for s in d.widget.findChildren(QShortcut) if s.key().toString() == "F1")
    f1.activated.emit()
    assert "docs/widget" in opened[-1]
    assert "widget.html#the-loop" in d.status
    d.controller.warned.emit("The engine stopped: labels are as they were.")
    assert d.control("help").text() == "Help: the engine process"
    d.click("help")
    assert "widget.html#the-engine-process" in d.status
    assert d.control("help").text() == "Help (F1)"


@pytest.mark.parametrize("one", HELP_TOPICS, ids=lambda one: one.words)
def test_each_message_has_its_page(one):
    assert find_topic(f"Before {one.words} after").page == one.page
    assert find_topic("Ready: press Auto-segment.") is None
