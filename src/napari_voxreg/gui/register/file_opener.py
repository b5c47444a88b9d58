"""Opening the files that are dropped on a panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import napari.viewer
from napari.layers import Image, Layer

from ..background.worker import Runner
from ..layers.placement import LayerData
from ..layers.point_files import world_of
from ..layers.readers import notes_of, read_layers
from ..widgets.layers.layer_box import LayerBox


class FileOpener:
    """Opens files off the main thread; a new drop on a box replaces files still being read for it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Gets the layers.
    say : callable
        Called with a sentence while files are opened, and with an empty one at the end.
    failed, warned : callable
        Called with an exception, and with the text of a warning.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        say: Callable[[str], None],
        failed: Callable[[Exception], None],
        warned: Callable[[str], None],
    ) -> None:
        self._viewer, self._say, self._failed, self._warned = viewer, say, failed, warned
        self._readers: dict[LayerBox | None, Runner] = {}

    def open(self, box: LayerBox | None, paths: list[Path]) -> None:
        """Open files; a box chooses the first image dropped on it."""
        self._say(f"Opening {', '.join(path.name for path in paths)}…")

        world = world_of(self._viewer)

        def opened(data: list[LayerData]) -> None:
            layers = [self._viewer.add_layer(Layer.create(*one)) for one in data]
            images = [layer for layer in layers if isinstance(layer, Image)]
            if images and box is not None:
                box.choose(images[0])
            self._say(" ".join(notes_of(data)))

        self._readers.setdefault(box, Runner()).start(
            lambda progress: read_layers(paths, world),
            report=lambda report: None,
            done=opened,
            failed=self._failed,
            warned=self._warned,
        )

    def stop(self) -> None:
        """Stop opening files; uses nothing of Qt."""
        for reader in self._readers.values():
            reader.cancel()
