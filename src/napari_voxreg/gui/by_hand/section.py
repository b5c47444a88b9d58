"""The controls of a pose by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ..layers.snapshots import AXES
from ..widgets.combo_box import Choice, heading, tame
from ..widgets.sentence import Sentence
from .directions import Directions
from .pose import Frame, HandPose
from .steps import about, in_words, mirror, pixel_along, rotation, scaling, translation

BUTTON = "padding: 3px 4px;"
AXIS = 52  # pixels for the name of an axis
FAST = 10  # times the step, with Shift
KEYS = {
    Qt.Key.Key_Up: ("down", -1),
    Qt.Key.Key_Down: ("down", 1),
    Qt.Key.Key_Left: ("right", -1),
    Qt.Key.Key_Right: ("right", 1),
    Qt.Key.Key_PageUp: ("back", -1),
    Qt.Key.Key_PageDown: ("back", 1),
}
FLIP = (
    "Flip the moving image {}? Its mirror image takes its place: left and right change sides, which a "
    "rotation never does."
)
NOTHING = "Step the moving image, or drag it in napari's transform mode."


class PoseSection(QWidget):
    """Steps, rotates, scales and flips the moving image; shows where it is.

    Parameters
    ----------
    pose : HandPose
    viewer : napari viewer
        Whose axes up and across are those of the buttons.

    Signals
    -------
    kept()
        The pose is to be kept as a result.
    """

    kept = Signal()

    def __init__(self, pose: HandPose, viewer: Any) -> None:
        super().__init__()
        self._pose, self._viewer = pose, viewer
        self.step = _number(1.0, 0.01, 1000.0, 2, " px", "Step", "Of an arrow, in pixels of the fixed image")
        self.angle = _number(5.0, 0.01, 180.0, 2, "°", "Angle", "Of a rotation")
        self.factor = _number(5.0, 0.01, 100.0, 2, " %", "Scale", "By which the image grows or shrinks")
        self.axis = Choice()
        self.axis.setFixedWidth(AXIS)
        self.axis.setAccessibleName("Axis of rotation")
        self.axis.setToolTip("About which axis of the world the volume is rotated")
        self.buttons: dict[str, QPushButton] = {}
        self.said = QLabel()
        self.said.setWordWrap(True)
        self.trouble = Sentence()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for row in (self._arrows(), self._rotations(), self._scales(), self._flips(), self._ends()):
            layout.addLayout(row)
        layout.addWidget(self.said)
        layout.addWidget(self.trouble)
        self._keys = _Arrows(self)
        for button in self.buttons.values():
            button.installEventFilter(self._keys)
        pose.changed.connect(self._describe)
        self.offer()

    # What the buttons do ----------------------------------------------------------------------------------

    def nudge(self, where: str, steps: float) -> None:
        """Move what is seen "down", "right" or "back" by so many steps."""
        axis = getattr(self._directions, where)
        if axis is not None:
            fixed = self._pose.frame.fixed
            distance = self._directions.signs[axis] * steps * self.step.value() * pixel_along(fixed, axis)
            self._pose.move(translation(axis, distance, fixed.ndim))

    def rotate(self, sign: int) -> None:
        """Rotate what is seen about its centre, clockwise (+1) or back (-1)."""
        about_axis = self.axis.currentData() if self._pose.frame.fixed.ndim == 3 else None
        axes = self._directions.clockwise(about_axis)
        if axes is not None:
            degrees = sign * self.angle.value()
            self._about_centre(rotation(axes, degrees, self._pose.frame.fixed.units))

    def scale(self, sign: int) -> None:
        """Let what is seen grow (+1) or shrink (-1)."""
        factor = (1 + self.factor.value() / 100) ** sign
        self._about_centre(scaling(factor, self._pose.frame.fixed.ndim))

    def flip(self, where: str, words: str) -> None:
        """Mirror what is seen along an axis, if the user says so."""
        axis = getattr(self._directions, where)
        yes = QMessageBox.StandardButton.Yes
        asked = QMessageBox.question(self, "Flip the moving image", FLIP.format(words))
        if axis is not None and asked == yes:
            self._about_centre(mirror(axis, self._pose.frame.fixed.ndim))

    def centre(self) -> None:
        """Move the centre of what is seen onto that of the fixed image."""
        fixed = self._pose.frame.fixed
        step = scaling(1.0, fixed.ndim)
        step[:-1, -1] = fixed.centre - self._pose.centre
        self._pose.move(step)

    def _about_centre(self, matrix: Any) -> None:
        self._pose.move(about(self._pose.centre, matrix))

    @property
    def _directions(self) -> Directions:
        return Directions.of(self._viewer, self._pose.frame.world)

    # Layout -----------------------------------------------------------------------------------------------

    def _button(
        self, name: str, text: str, tip: str, do: Callable[[], None], again: bool = True
    ) -> QPushButton:
        button = self.buttons[name] = QPushButton(text)
        button.setStyleSheet(BUTTON)
        button.setAccessibleName(name)
        button.setToolTip(tip)
        button.setAutoRepeat(again)
        button.clicked.connect(lambda: do())
        return button

    def _arrows(self) -> QHBoxLayout:
        """Arrows as on the screen, and the step."""
        tip = "Move the moving image {} by a step; the arrow keys do so, too, with Shift ten steps"
        deep = "Move the volume {} by a step; so do Page Up and Page Down"
        grid = QGridLayout()
        grid.setSpacing(2)
        for name, text, place, where, sign in (
            ("up", "↑", (0, 1), "down", -1),
            ("left", "←", (1, 0), "right", -1),
            ("down", "↓", (1, 1), "down", 1),
            ("right", "→", (1, 2), "right", 1),
            ("nearer", "−z", (0, 0), "back", -1),
            ("farther", "+z", (0, 2), "back", 1),
        ):
            text_of = deep.format(f"along its third axis, {name}") if where == "back" else tip.format(name)
            button = self._button(name, text, text_of, partial(self.nudge, where, sign))
            button.setFixedWidth(38)
            grid.addWidget(button, *place)
        row = QHBoxLayout()
        row.addLayout(grid)
        row.addSpacing(8)
        row.addWidget(_label("Step", self.step))
        row.addWidget(self.step, 1)
        return row

    def _rotations(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(heading("Rotate", self.angle, "About the centre of the moving image"))
        row.addWidget(self.axis)
        row.addWidget(self.angle, 1)
        row.addWidget(self._button("rotate back", "↺", "Rotate anticlockwise", lambda: self.rotate(-1)))
        row.addWidget(self._button("rotate", "↻", "Rotate clockwise", lambda: self.rotate(1)))
        return row

    def _scales(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(heading("Scale", self.factor, "About the centre of the moving image"))
        row.addWidget(self.factor, 1)
        row.addWidget(self._button("shrink", "−", "Make the moving image smaller", lambda: self.scale(-1)))
        row.addWidget(self._button("grow", "+", "Make the moving image larger", lambda: self.scale(1)))
        return row

    def _flips(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.addWidget(heading("Flip", self, "Mirror the moving image about its centre; you are asked first"))
        for name, text, where, words in (
            ("flip left-right", "↔", "right", "left to right"),
            ("flip up-down", "↕", "down", "upside down"),
            ("flip along the third axis", "z", "back", "along its third axis"),
        ):
            tip = f"Mirror the moving image {words}; you are asked first"
            row.addWidget(
                self._button(name, text, tip, partial(self.flip, where, words), again=False),
                1,
            )
        return row

    def _ends(self) -> QHBoxLayout:
        row = QHBoxLayout()
        once = {"again": False}
        row.addWidget(
            self._button(
                "centre", "Centre", "Lay the centres of both images on each other", self.centre, **once
            )
        )
        tip = "Put the moving layer back to its own place, and forget the pose"
        row.addWidget(self._button("reset", "Reset", tip, self._pose.clear, **once))
        tip = "Make a result of the pose as it is, to be judged, saved, applied and undone as any other"
        row.addWidget(self._button("keep", "Keep as result", tip, self.kept.emit, **once))
        return row

    # What is shown ----------------------------------------------------------------------------------------

    def offer(self) -> None:
        """Enable the controls if the chosen pair can be posed."""
        reason = self._pose.reason()
        for button in self.buttons.values():
            button.setEnabled(not reason)
        self.trouble.say(reason, "quiet")
        if reason:
            self.said.hide()
            return
        frame = self._pose.frame
        deep = frame.fixed.ndim == 3
        labels = self._labels(frame)
        back = self._directions.back
        for name, text in (("nearer", "−{}"), ("farther", "+{}"), ("flip along the third axis", "{}")):
            self.buttons[name].setVisible(deep)
            self.buttons[name].setText(text.format(labels[back or 0]))
        self.axis.setVisible(deep)
        if deep and [self.axis.itemText(k) for k in range(self.axis.count())] != labels:
            self.axis.clear()
            for k, label in enumerate(labels):
                self.axis.addItem(label, k)
            self.axis.setCurrentIndex(back or 0)
        self._describe()

    def _labels(self, frame: Frame) -> list[str]:
        """The names of the axes; napari's own are numbers."""
        given = [str(self._viewer.dims.axis_labels[axis]) for axis in frame.world]
        plain = AXES[-len(given) :]
        return [b if a.lstrip("-").isdigit() else a for a, b in zip(given, plain, strict=True)]

    def _describe(self) -> None:
        """Tell the pose in words."""
        pose = self._pose
        there = pose.transform is not None and not pose.reason()
        self.buttons["reset"].setEnabled(there)
        self.buttons["keep"].setEnabled(there)
        text = NOTHING
        if there and pose.transform is not None:
            frame = pose.frame
            text = in_words(pose.transform.inverse().matrix, frame.fixed, frame.moving)
        self.said.setText(text)
        self.said.setVisible(not pose.reason())

    def showEvent(self, event: Any) -> None:
        """From now on a layer that is dragged is posed by hand."""
        super().showEvent(event)
        self._pose.watched = True
        self.offer()

    def hideEvent(self, event: Any) -> None:
        """A layer that is dragged gets another place of its own."""
        super().hideEvent(event)
        self._pose.watched = False


class _Arrows(QObject):
    """Arrow keys on the buttons move the image, not the focus."""

    def __init__(self, section: PoseSection) -> None:
        super().__init__(section)
        self._section = section

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Take the arrow keys."""
        if event.type() == QEvent.Type.KeyPress and Qt.Key(event.key()) in KEYS:
            where, sign = KEYS[Qt.Key(event.key())]
            fast = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._section.nudge(where, sign * (FAST if fast else 1))
            return True
        return False


def _number(
    value: float, least: float, most: float, decimals: int, suffix: str, name: str, tip: str
) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(least, most)
    box.setValue(value)
    box.setSuffix(suffix)
    box.setAccessibleName(name)
    box.setToolTip(tip)
    tame(box)
    return box


def _label(text: str, box: QWidget) -> QLabel:
    label = QLabel(text)
    label.setBuddy(box)
    label.setToolTip(box.toolTip())
    return label
