"""A collapsible section of a panel."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QSizePolicy, QWidget
from superqt import QCollapsible

# napari's theme frames buttons and fills checked ones; a heading should look like text.
HEADING = (
    "QPushButton {background: transparent; border: 1px solid transparent; padding: 2px 0; text-align: left;}"
    "QPushButton:focus {border-bottom: 1px solid rgba(128, 136, 144, 160);}"
)
INDENT = 14  # pixels
BESIDE = 10  # pixels of a heading beside its arrow and its text
UNLIMITED = 2**24 - 1  # the largest height of a widget


class Fold(QCollapsible):
    """A heading with an arrow; its body is shown while it is open.

    It expands without animation and grows with its body; Space and Enter toggle it. A collapsed body is
    hidden, so that Tab skips it.

    Parameters
    ----------
    title : str
        The heading.
    body : QWidget
        The collapsible content.
    tip : str
        The tooltip of the heading.
    """

    def __init__(self, title: str, body: QWidget, tip: str = "") -> None:
        super().__init__(title)
        self._title, self._tip = title, tip
        outside, inside = self.layout(), self.content().layout()
        assert outside is not None and inside is not None  # made by superqt
        outside.setContentsMargins(0, 0, 0, 0)
        outside.setSpacing(2)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        button = self.toggleButton()
        button.setStyleSheet(HEADING)
        # Ignored, so that a long heading does not widen the panel.
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.setAutoDefault(True)  # else Enter does nothing
        self._show_title()
        inside.setContentsMargins(INDENT, 0, 0, 4)
        # Not by superqt's `addWidget`, which fixes the body at its current height.
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

    def text(self) -> str:
        """The whole heading."""
        return self._title

    def setText(self, text: str) -> None:
        """Set the heading; its end is left out where it does not fit, and is in the tooltip."""
        self._title = text
        self._show_title()

    def resizeEvent(self, event: Any) -> None:
        """Fit the heading."""
        super().resizeEvent(event)
        self._show_title()

    def expand(self, animate: bool = False) -> None:
        """Show the body."""
        super().expand(animate)

    def collapse(self, animate: bool = False) -> None:
        """Hide the body."""
        super().collapse(animate)

    def changeEvent(self, event: Any) -> None:
        """Draw the arrows in the colour of another theme."""
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange):
            self._draw_arrows()

    def _show_title(self) -> None:
        button = self.toggleButton()
        room = self.width() - button.iconSize().width() - BESIDE
        shown = button.fontMetrics().elidedText(self._title, Qt.TextElideMode.ElideRight, room)
        button.setText(shown)
        button.setAccessibleName(self._title)
        whole = shown == self._title
        button.setToolTip(self._tip if whole else f"{self._title}. {self._tip}".removesuffix(". "))

    def _draw_arrows(self) -> None:
        self.setExpandedIcon("▾")
        self.setCollapsedIcon("▸")

    def _show_body(self, shown: bool) -> None:
        self.content().setMaximumHeight(UNLIMITED)
        self.content().setVisible(shown)
