"""The Landmarks panel."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import napari.viewer
import numpy as np
from napari.layers import Layer, Points
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFormLayout

from ...core.geometry import Array, short_unit
from ...core.progress import Progress
from ...methods.landmarks import LandmarkFit
from ...metrics.landmarks import leave_one_out
from ...metrics.similarity import landmark_errors
from ...transforms import Affine, Transform
from ...transforms.affine import fit_points
from ...transforms.fit import fit
from ..background.worker import Runner
from ..doors import keep_in_register, use_initial_in_register, use_landmarks_in_register
from ..layers.canvas_drops import CanvasDrops
from ..layers.layer_events import LayerWatch
from ..layers.point_files import opens_as_points
from ..session.chosen import Fitted
from ..session.state import session_state
from ..widgets.combo_box import heading
from ..widgets.dock_panel import Docked
from ..widgets.sentence import Sentence
from .buttons import Buttons
from .errors import PairTable, result_summary, rows_of, summary
from .files import PairFiles
from .fit_box import FitBox
from .layers_box import WIDEST_LABEL, LayersBox
from .pairs import PointPairs, new_points
from .placing import Placing, show_place
from .preview import Preview
from .result_box import ResultBox
from .side import Side
from .visibility import Visibility

NONE_YET = "No landmarks yet. Press Add pairs and click in the fixed image, then in the moving one."
BUSY = "Register is at work; keep the fit when its run has ended."
PLACED = (
    "affine",
    "rotate",
    "shear",
)  # of the events that move a layer, those that `LayerWatch` does not hear
WAIT = 60  # milliseconds without a change after which pairs are left out in turn


class LandmarksWidget(Docked):
    """Place corresponding points in two images, and see what a transform fitted to them is worth.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    layers, fit_box : LayersBox, FitBox
        The choices.
    pairs : PointPairs or None
        The landmarks; None until there are images and Points layers.
    placing, preview : Placing, Preview or None
        The mode in which clicks place pairs, and the moving image through the fit.
    files : PairFiles
        Opens and saves pairs.
    fitted : Transform or None
        The fit to all complete pairs.
    """

    title = "Landmarks"

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self.pairs: PointPairs | None = None
        self.placing: Placing | None = None
        self.preview: Preview | None = None
        self.fitted: Transform | None = None
        self._state = session_state(viewer)
        self._runner = Runner()
        self._left_out: dict[int, float] = {}
        self._complete = np.empty(0, dtype=int), np.empty((0, 2)), np.empty((0, 2))
        self._against = ""
        self._reason, self._refreshing, self._hinted = "", False, False
        self._watch = LayerWatch(viewer, self._offer)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(WAIT)
        self._later.timeout.connect(self._leave_out)
        self._build()
        self._attach()
        self._refresh()
        self.destroyed.connect(lambda: self._gone())

    # Layout ---------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.layers, self.fit_box, self.table = LayersBox(), FitBox(), PairTable()
        self.sentence, self.said = Sentence(), Sentence()
        self.said.hide()
        self.previewing = QCheckBox("preview the fit")
        self.previewing.setToolTip("Show the moving image through the fit, over the fixed one")
        self.result_box = ResultBox(self._state)
        self.files = PairFiles(self, self._viewer, self._with_points, self._say, self._fail)
        CanvasDrops(self, self.files.dropped, opens_as_points)
        tip = "A result of this session, whose error at these landmarks is shown"
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(heading("Result", self.result_box, tip, WIDEST_LABEL), self.result_box)
        self.buttons = Buttons(self._acts())
        row = self.buttons.row
        self._fill(
            self.layers,
            row("Add pairs", "Delete", "Undo", "Redo"),
            row("Accept", "Refine", "Skip"),
            self.said,
            self.fit_box,
            self.previewing,
            self.table,
            self.sentence,
            form,
            row("Use as initial transform"),
            row("Keep as result", "Use as landmarks"),
            row("Open points…", "Save points…"),
        )
        self.layers.changed.connect(self._pair_up)
        self.fit_box.changed.connect(self._refresh)
        self.previewing.toggled.connect(self._refresh)
        self.result_box.currentIndexChanged.connect(self._show_errors)
        self.table.chosen.connect(self._go_to_selected)
        self.table.delete_pressed.connect(self._delete)
        self._state.changed.connect(self._show_errors)

    def _acts(self) -> dict[str, Callable[[], object]]:
        """What the buttons do."""
        return {
            "Add pairs": self._add,
            "Delete": self._delete,
            **{text: partial(self._press, text) for text in ("Undo", "Redo", "Accept", "Refine", "Skip")},
            "Use as initial transform": self._use_initial,
            "Keep as result": self._keep,
            "Use as landmarks": self._use_landmarks,
            "Open points…": self.files.ask_open,
            "Save points…": self.files.ask_save,
        }

    # The layers -----------------------------------------------------------------------------------------

    def _offer(self, layers: list[Layer]) -> None:
        """Follow the viewer's layers."""
        if not self._refreshing and not (self.preview is not None and self.preview.changing):
            self.layers.offer(layers)
            self._placed_anew()

    def _placed_anew(self, event: Any = None) -> None:
        """An image may lie elsewhere now."""
        if self.pairs is not None and not self.layers.reason():
            self.pairs.fixed.forget()
            self.pairs.moving.forget()
            self.pairs.moving.like = self.pairs.fixed.grid
        self._refresh()

    def _pair_up(self) -> None:
        """Follow the landmarks of the chosen layers."""
        self._let_go()
        pair = self.layers.pair
        points = [box.layer for box in self.layers.boxes[2:]]
        if pair is not None and not self.layers.reason() and all(isinstance(one, Points) for one in points):
            fixed = Side(self._viewer, pair[0], points[0])
            moving = Side(self._viewer, pair[1], points[1], fixed.grid)
            self.pairs = PointPairs(fixed, moving)
            visibility = Visibility(("placing", "preview"))
            self.preview = Preview(self._viewer, self.pairs, visibility, self)
            self.placing = Placing(
                self._viewer, self.pairs, self._present, self._seen_through, visibility, self
            )
            self.pairs.changed.connect(self._refresh)
            self.placing.changed.connect(self._refresh)
            for image in pair:
                for name in PLACED:
                    getattr(image.events, name).connect(self._placed_anew)
        self._refresh()

    def _let_go(self) -> None:
        """Follow no landmarks any more."""
        gone = [one for one in (self.placing, self.preview, self.pairs) if one is not None]
        for one in gone:
            one.blockSignals(True)
        self._rest()
        if self.pairs is not None:
            self.pairs.stop()
            for image in (self.pairs.fixed.image, self.pairs.moving.image):
                for name in PLACED:
                    getattr(image.events, name).disconnect(self._placed_anew)
        for one in gone:
            one.deleteLater()
        self.pairs = self.placing = self.preview = None
        self._left_out = {}

    def _rest(self) -> None:
        """Take no clicks and show no preview."""
        if self.placing is not None:
            self.placing.stop()
        if self.preview is not None and self.preview.on:
            self.preview.end()
            self._state.changed.emit()  # Register may show its result over the same image

    def _with_points(self) -> PointPairs | None:
        """The landmarks, with new Points layers where there are none."""
        pair = self.layers.pair
        if self.pairs is None and pair is not None and not self.layers.reason():
            points = []
            for box, image, which in zip(self.layers.boxes[2:], pair, ("fixed", "moving"), strict=True):
                points.append(box.layer or self._viewer.add_layer(new_points(image, which, self._viewer)))
            if self.pairs is None:
                self.layers.choose_points(*points)
        return self.pairs

    # The fit --------------------------------------------------------------------------------------------

    def _present(self) -> Transform:
        """The best transform now: the fit, else the current result, else what few pairs determine."""
        assert self.pairs is not None
        current = self._state.current
        if self.fitted is not None:
            return self.fitted
        if current is not None and self.result_box.fits(current.result):
            pair = [None if one is None else one() for one in (current.fixed, current.moving)]
            if pair == list(self.layers.pair or ()):
                return current.result.transform
        _, fixed, moving = self._complete
        return fit_points(fixed, moving) if len(fixed) else Affine.identity(fixed.shape[1])

    def _seen_through(self) -> Transform | None:
        return None if self.preview is None else self.preview.transform

    def _refresh(self, event: Any = None) -> None:
        """Fit again, and show everything."""
        if self._refreshing:  # by the layers of the preview
            return
        self._refreshing = True
        self._against = self.layers.reason()
        self.fitted, self._reason = None, self._against
        if self.pairs is not None and not self._reason:
            self._complete = _, fixed, moving = self.pairs.complete
            self.fit_box.offer(self.pairs.fixed.grid.ndim)
            try:
                self.fitted = fit(self.fit_box.kind, fixed, moving, self.fit_box.smoothing)
            except ValueError as error:
                self._reason = str(error) if len(fixed) else NONE_YET
            self._later.start()
        elif not self._reason:
            self._reason = NONE_YET
        self._show_preview()
        self._show_buttons()
        self._show_errors()
        self._refreshing = False

    def _show_preview(self) -> None:
        if self.preview is None or self.placing is None:
            return
        if self.preview.lost:
            self.previewing.blockSignals(True)
            self.previewing.setChecked(False)
            self.previewing.blockSignals(False)
        if self.previewing.isChecked():
            self.preview.show(self._present())
        elif self.preview.on:
            self.preview.end()
            self._state.changed.emit()  # Register may show its result over the same image

    def _show_buttons(self) -> None:
        count, fitted = len(self._complete[0]), self.fitted is not None
        self.buttons.show_state(not self._against, self.pairs, self.placing, fitted, count)
        hint = "" if self.placing is None else self.placing.hint
        if hint or self._hinted:
            self.said.say(hint, "quiet")
        self._hinted = bool(hint)

    def _show_errors(self) -> None:
        """The table and the sentence."""
        pairs = self.pairs
        self.result_box.offer(None if pairs is None else pairs.fixed.grid)
        if pairs is None or self._against:
            self.table.show_rows([], "", False)
            self.sentence.say(self._reason, "quiet")
            return
        numbers, fixed, moving = self._complete
        unit = short_unit(pairs.fixed.grid.units[-1])
        nothing = np.full(len(numbers), np.nan)
        residual = nothing if self.fitted is None else landmark_errors(self.fitted, fixed, moving)
        result = self.result_box.result
        far = (
            nothing
            if result is None or not len(numbers)
            else landmark_errors(result.transform, fixed, moving)
        )
        rounding = 1e-9 * float(np.abs(np.append(fixed, moving)).max(initial=0))
        missed = self._left_out if self.fitted else {}
        rows = rows_of(numbers, residual, missed, far, rounding, pairs.labels(numbers))
        self.table.show_rows(rows, unit, result is not None)
        parts = [pairs.alone, self._reason, *pairs.outside()]
        if self.fitted is not None:
            parts.append(summary(self.fit_box.kind, rows, unit, self.fitted))
        if result is not None and rows:
            parts.append(result_summary(self.result_box.currentText(), rows, unit))
        self.sentence.say(" ".join(part for part in parts if part), "unclear" if pairs.alone else "quiet")

    def _leave_out(self) -> None:
        """Leave each pair out in turn, in the background."""
        if self.pairs is None or self.fitted is None:
            return
        numbers, fixed, moving = self.pairs.complete
        kind, smoothing = self.fit_box.kind, self.fit_box.smoothing

        def job(progress: Progress) -> Array:
            return leave_one_out(kind, fixed, moving, smoothing, progress)

        def done(errors: Array) -> None:
            self._left_out = dict(zip(numbers.tolist(), errors.tolist(), strict=True))
            self._show_errors()

        self._runner.start(
            job,
            report=lambda report: None,
            done=done,
            failed=lambda error: None,
            warned=lambda text: None,
        )

    # What the buttons do --------------------------------------------------------------------------------

    def _add(self) -> None:
        pairs = self._with_points()
        if pairs is not None and self.placing is not None:
            self.placing.stop() if self.placing.on else self.placing.start()

    def _press(self, text: str) -> None:
        """Do with the landmarks what a button says."""
        if self.pairs is not None and self.placing is not None:
            pairs, placing = self.pairs, self.placing
            acts = {
                "Undo": pairs.undo,
                "Redo": pairs.redo,
                "Accept": placing.accept,
                "Refine": placing.refine,
                "Skip": placing.skip,
            }
            acts[text]()

    def _delete(self) -> None:
        """Delete the pair of the selected row, else those of the selected points."""
        if self.pairs is None:
            return
        row = self.table.selected
        sides = self.pairs.fixed, self.pairs.moving
        points = {int(side.numbers[k]) for side in sides for k in side.points.selected_data}
        for number in sorted({row.number} if row is not None else points, reverse=True):
            self.pairs.remove(number)

    def _go_to_selected(self) -> None:
        row = self.table.selected
        if row is None or self.pairs is None:
            return
        numbers, fixed, _ = self.pairs.complete
        if row.number in numbers:
            place = fixed[int(np.flatnonzero(numbers == row.number)[0])]
            show_place(self._viewer, self.pairs.fixed.to_view(place))

    def _titled(self, fitted: Transform, pairs: PointPairs) -> tuple[Fitted, LandmarkFit]:
        """The fit as an initial transform, and what was fitted."""
        kind, count = self.fit_box.kind, len(pairs.complete[0])
        params = LandmarkFit.from_dict({"fit": kind, "smoothing": self.fit_box.smoothing, "pairs": count})
        return Fitted(f"{kind} fit to {count} landmarks", fitted, pairs.fixed.grid), params

    def _use_initial(self) -> None:
        pair = self.layers.pair
        if self.pairs is not None and self.fitted is not None and pair is not None:
            fitted, _ = self._titled(self.fitted, self.pairs)
            self._rest()
            use_initial_in_register(self._viewer, fitted, pair)

    def _keep(self) -> None:
        """Make the fit a result."""
        pair = self.layers.pair
        if self.pairs is not None and self.fitted is not None and pair is not None:
            fitted, params = self._titled(self.fitted, self.pairs)
            self._rest()
            if not keep_in_register(self._viewer, fitted, params, pair):
                self.to_front()
                self._say(BUSY)

    def _use_landmarks(self) -> None:
        pair = self.layers.pair
        if self.pairs is not None and pair is not None:
            self._rest()
            points = self.pairs.fixed.points, self.pairs.moving.points
            use_landmarks_in_register(self._viewer, points, pair)

    def _say(self, text: str) -> None:
        self.said.say(text, "quiet")

    def _fail(self, error: Exception) -> None:
        self.said.say(str(error).split("\n")[0], "failed")

    # Opening and closing -----------------------------------------------------------------------------------

    def _attach(self) -> None:
        """Follow the viewer's layers."""
        self._watch.start()

    def _detach(self) -> None:
        """Stop following them; the layers are as they were."""
        if self._watch.on:
            self._watch.stop()
            self._let_go()
        self._gone()

    def hideEvent(self, event: Any) -> None:
        """Leave the canvas as it was."""
        self._leave_canvas()
        super().hideEvent(event)

    def _toggled(self, visible: bool) -> None:
        """Leave the canvas to the panel that comes to the front; this one is not hidden then."""
        super()._toggled(visible)
        if not visible:
            self._leave_canvas()

    def _leave_canvas(self) -> None:
        self._rest()
        self.previewing.setChecked(False)

    def _gone(self) -> None:
        """Stop what is under way; uses nothing of Qt."""
        self._watch.stop()
        self._runner.cancel()
        for one in (self.preview, self.placing):
            if one is not None:
                one.cancel()
