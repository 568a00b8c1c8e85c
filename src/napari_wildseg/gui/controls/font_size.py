"""The size of letters that is set in napari's preferences, for all controls of a widget."""

from napari.settings import get_settings
from qtpy.QtWidgets import QWidget


class FontSize:
    """Keeps the font of a widget at the size of the preferences; its children inherit it.

    napari's style sheet names a size for labels and buttons, and none for lines to type in and
    tables (napari 0.9.2): those take the font of what they are in.
    """

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._appearance = get_settings().appearance
        self._appearance.events.font_size.connect(self.fit)
        self.fit()

    def fit(self, _event: object = None) -> None:
        """Take the size of now."""
        font = self._widget.font()
        font.setPointSize(self._appearance.font_size)
        self._widget.setFont(font)

    def stop(self) -> None:
        """Follow the preferences no longer."""
        self._appearance.events.font_size.disconnect(self.fit)
