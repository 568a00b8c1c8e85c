"""Controls with the names that tests and style sheets know them by."""

from typing import Any, TypeVar

from qtpy.QtWidgets import QWidget

_W = TypeVar("_W", bound=QWidget)


def named(control: _W, name: str, tooltip: str = "", **properties: Any) -> _W:
    """Return a control with an object name, a tooltip and Qt properties, such as `wordWrap`."""
    for key, value in {"objectName": name, "toolTip": tooltip, **properties}.items():
        getattr(control, f"set{key[0].upper()}{key[1:]}")(value)
    return control
