"""How a series or a cohort is registered: the declared options, a method, where it runs."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QLineEdit, QVBoxLayout, QWidget

from ...cohort.group import CohortOptions
from ...cohort.running import PROCESSES, SERIAL
from ...cohort.series import SeriesOptions
from ..widgets.combo_box import heading, tame
from ..widgets.fold import Fold
from ..widgets.method_box import MethodBox
from ..widgets.parameters.form import ParamsForm
from ..widgets.source_box import PathLine


class OptionsBox(QWidget):
    """The forms of both, of which one is shown.

    Attributes
    ----------
    series, group : ParamsForm
        `SeriesOptions` and `CohortOptions`.
    run_method, method : QCheckBox, MethodBox
        A method on each frame of a series.
    channel, where, merge, onto : QLineEdit, QComboBox, QCheckBox, PathLine

    Signals
    -------
    changed()
        Something else was chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.series, self.group = ParamsForm(), ParamsForm()
        self.series.set_up(SeriesOptions())
        self.group.set_up(CohortOptions())
        self.run_method = QCheckBox("Then run a method on each frame")
        self.run_method.setToolTip(
            "After the fast linear motion, for images of several contrasts or for deformations; far slower"
        )
        self.method = MethodBox()
        self.method.choose("diffeo")
        self.channel = QLineEdit()
        self.channel.setPlaceholderText("luminance")
        self.where = QComboBox()
        self.where.setEditable(True)
        self.where.addItems([SERIAL, PROCESSES])
        tame(self.where)
        self.onto = PathLine("Own template", "instead of the one above", "Images (*)")
        self.merge = QCheckBox("One image with all channels, too")
        self.merge.setToolTip(
            "All channels of all aligned images as layers, and in the folder as one image: rounds of staining"
        )
        self._more = QWidget()
        form = self._form = QFormLayout(self._more)
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        tip = "A template of your own, such as an atlas, instead of one of the images or their mean"
        form.addRow(heading("Onto", self.onto, tip), self.onto)
        tip = "Which channel is registered: a number from 0, or luminance; the result is for all of them"
        form.addRow(heading("Channel", self.channel, tip), self.channel)
        tip = (
            "Where registrations run: serial; processes of this machine, side by side; or the address of a "
            "Dask scheduler, such as tcp://host:8786"
        )
        form.addRow(heading("Run on", self.where, tip), self.where)
        form.addRow(self.merge)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        tip = "A template of your own, the channel that drives, and where it runs"
        self.more = Fold("More options", self._more, tip)
        for widget in (self.series, self.group, self.run_method, self.method, self.more):
            layout.addWidget(widget)
        self.run_method.toggled.connect(self._alter)
        for box in (self.series, self.group, self.method):
            box.changed.connect(self._alter)
        self.set_cohort(False)

    def set_cohort(self, cohort: bool) -> None:
        """Show the options of a cohort, or of a series."""
        self._cohort = cohort
        self._alter()

    def series_options(self) -> SeriesOptions:
        """Those of a series."""
        return SeriesOptions.from_dict(self.series.values())

    def cohort_options(self) -> CohortOptions:
        """Those of a cohort."""
        return CohortOptions.from_dict(self.group.values())

    @property
    def driving(self) -> int | str | None:
        """The channel, as `register` takes it."""
        text = self.channel.text().strip()
        return int(text) if text.isdecimal() else text or None

    def choose_template(self, kind: str, image: int = 0) -> None:
        """Choose what all images of a cohort are aligned to."""
        self.group.editors["template"].value = kind
        self.group.editors["image"].value = image
        self._alter()

    def kept(self) -> dict[str, Any]:
        """The choices, for `restore`."""
        return {
            "series": self.series.values(),
            "group": self.group.values(),
            "run method": self.run_method.isChecked(),
            "method": self.method.kept(),
            "channel": self.channel.text(),
            "where": self.where.currentText(),
            "onto": self.onto.line.text(),
            "merge": self.merge.isChecked(),
        }

    def restore(self, kept: dict[str, Any]) -> None:
        """Restore earlier choices."""
        self.series.set_up(SeriesOptions.from_dict(kept["series"]))
        self.group.set_up(CohortOptions.from_dict(kept["group"]))
        self.run_method.setChecked(kept["run method"])
        self.method.restore(kept["method"])
        self.channel.setText(kept["channel"])
        self.where.setCurrentText(kept["where"])
        self.onto.choose(kept["onto"])
        self.merge.setChecked(kept["merge"])
        self._alter()

    def _alter(self) -> None:
        """Show what matters for what is chosen."""
        cohort, runs = self._cohort, self.run_method.isChecked()
        self.series.setVisible(not cohort)
        self.group.setVisible(cohort)
        self.run_method.setVisible(not cohort)
        self.method.setVisible(not cohort and runs)
        for form, chosen in ((self.group, self.cohort_options()), (self.series, self.series_options())):
            for name in form.editors:
                form.show_row(name, chosen.matters(name))
        of_cohort = [self.onto, self.where]
        labels = [self._form.labelForField(box) for box in of_cohort]
        for widget in (*of_cohort, *labels, self.merge):
            if widget is not None:
                widget.setVisible(cohort)
        self.changed.emit()
