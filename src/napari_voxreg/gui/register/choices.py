"""All choices of the Register panel: kept while it is closed, and set as they were for an earlier run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ref

from napari.components import ViewerModel
from napari.layers import Layer

from ...methods import METHODS
from ...registration.result import Result
from ..session.chosen import Fitted
from ..session.reopen import pair_layers
from ..session.show_box import ShowBox
from ..session.state import Run
from ..widgets.layers.layer_box import LayerBox
from ..widgets.method_box import MethodBox
from .compare_button import CompareButton
from .initial_box import INITIAL, InitialBox
from .pair_box import PairBox
from .pixels_box import PixelsBox


@dataclass(frozen=True)
class Choices:
    """The boxes of the panel."""

    pair: PairBox
    pixels: PixelsBox
    method: MethodBox
    initial: InitialBox
    show_box: ShowBox
    compare: CompareButton

    @property
    def boxes(self) -> list[LayerBox]:
        """Those that choose a layer."""
        return [*self.pair.boxes, *self.initial.boxes]

    def kept(self) -> dict[str, Any]:
        """The choices, for `restore`."""
        return {
            "settled": self.pair.settled,
            "layers": [None if box.layer is None else ref(box.layer) for box in self.boxes],
            "method": self.method.kept(),
            "initial": self.initial.kept(),
            "channel": self.pixels.channel_box.currentText(),
            "show": self.show_box.show_choice,
            "compare": self.compare.kept(),
        }

    def restore(self, kept: dict[str, Any], layers: Sequence[Layer]) -> None:
        """Restore earlier choices, as far as their layers are among these."""
        for box, reference in zip(self.boxes, kept["layers"], strict=True):
            layer = reference() if reference is not None else None
            if layer is None or any(layer is there for there in layers):
                box.choose(layer)
        self.pair.settled = kept["settled"]
        self.method.restore(kept["method"])
        self.initial.restore(kept["initial"])
        self.pixels.channel_box.setCurrentText(kept["channel"])
        self.show_box.choose(kept["show"])
        self.compare.restore(kept["compare"])

    def take_pair(self, layers: Sequence[Layer]) -> None:
        """Choose a fixed and a moving layer, as a user does."""
        for box, layer in zip(self.pair.boxes[:2], layers, strict=True):
            if box.layer is not layer:
                box.choose(layer)

    def repeat(self, run: Run, viewer: ViewerModel, results: dict[str, Result]) -> str:
        """Choose what a run was made from; a sentence names the images that are no longer open."""
        pair = pair_layers(run, viewer)
        self.method.fold.open = True
        if pair == (None, None):
            self.pair.clear()
        else:
            for box, layer in zip(self.pair.boxes[:2], pair, strict=True):
                box.choose(layer)
        if run.result.method in METHODS:  # a pose by hand is an initial transform
            self.method.choose(run.result.method, **run.result.params.as_dict())
        initial = None if run.chosen is None else run.chosen.initial
        titles = {title: value for title, value in {**INITIAL, **results}.items() if value is initial}
        if isinstance(initial, Path):
            self.initial.choose_file(initial)
        elif isinstance(initial, Fitted):
            self.initial.choose_fit(initial)
        elif titles:
            self.initial.choose(next(iter(titles)))
        if run.chosen is not None and run.chosen.channel is not None:
            self.pixels.choose(run.chosen.channel)
        gone = [repr(name) for name, layer in zip(run.result.names, pair, strict=True) if layer is None]
        images = f"image{'s' * (len(gone) > 1)} {' and '.join(gone)}"
        return f"Open the {images} to run {run.result.method} again." if gone else ""
