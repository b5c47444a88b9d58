"""A section of a panel that unfolds at a click."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QSizePolicy, QWidget
from superqt import QCollapsible

# napari's theme frames buttons and fills checked ones; a heading should look like a line of text.
HEADING = (
    "QPushButton {background: transparent; border: 1px solid transparent; padding: 2px 0; text-align: left;}"
    "QPushButton:focus {border-bottom: 1px solid rgba(128, 136, 144, 160);}"
)
INDENT = 14  # pixels
UNLIMITED = 2**24 - 1  # the largest height of a widget


class Fold(QCollapsible):
    """A heading with an arrow; its body is shown while it is open.

    It unfolds at once and grows with its body; Space and Enter toggle it. A folded body is hidden, so that
    Tab passes it by.

    Parameters
    ----------
    title : str
        The heading.
    body : QWidget
        What is folded away.
    tip : str
        What the body is for.
    """

    def __init__(self, title: str, body: QWidget, tip: str = "") -> None:
        super().__init__(title)
        outside, inside = self.layout(), self.content().layout()
        assert outside is not None and inside is not None  # made by superqt
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(2)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        button = self.toggleButton()
        button.setStyleSheet(HEADING)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        button.setAutoDefault(True)  # else Enter does nothing
        button.setToolTip(tip)
        inside.setContentsMargins(INDENT, 0, 0, 4)
        # Not by `addWidget`, which holds the body to the height that it has now.
        inside.addWidget(body)
        self.toggled.connect(self._show_body)
        self._draw_arrows()
        self.collapse()

    @property
    def open(self) -> bool:
        """Whether the body is shown."""
        return self.isExpanded()

    @open.setter
    def open(self, value: bool) -> None:
        if value:
            self.expand()
        else:
            self.collapse()

    def expand(self, animate: bool = False) -> None:
        """Show the body."""
        super().expand(animate)

    def collapse(self, animate: bool = False) -> None:
        """Fold the body away."""
        super().collapse(animate)

    def changeEvent(self, event: Any) -> None:
        """Draw the arrows in the colour of another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw_arrows()

    def _draw_arrows(self) -> None:
        self.setExpandedIcon("▾")
        self.setCollapsedIcon("▸")

    def _show_body(self, shown: bool) -> None:
        self.content().setMaximumHeight(UNLIMITED)
        self.content().setVisible(shown)
