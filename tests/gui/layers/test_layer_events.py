"""Following the layers of a viewer."""

import numpy as np
from napari.components import ViewerModel
from napari.utils.events import EventEmitter

from napari_voxreg.gui.layers.layer_events import CHANGES, LayerWatch


def test_only_new_and_removed_layers_are_connected_anew(monkeypatch):
    viewer, told = ViewerModel(), []
    first = [viewer.add_image(np.zeros((4, 4)), name=name) for name in "abc"]
    watch = LayerWatch(viewer, lambda layers: told.append([layer.name for layer in layers]))
    watch.start()
    assert told == [["a", "b", "c"]]
    calls = []
    for name in ("connect", "disconnect"):
        original = getattr(EventEmitter, name)

        def counted(emitter, callback=None, *args, original=original, name=name, **keywords):
            if getattr(callback, "__self__", None) is watch:
                calls.append(name)
            return original(emitter, callback, *args, **keywords)

        monkeypatch.setattr(EventEmitter, name, counted)
    new = viewer.add_image(np.zeros((4, 4)), name="d")
    assert calls == ["connect"] * len(CHANGES)
    calls.clear()
    viewer.layers.remove(first[0])
    assert calls == ["disconnect"] * len(CHANGES)

    told.clear()
    first[0].name = "removed"
    assert not told
    for layer, name in ((first[1], "B"), (new, "D")):
        layer.name = name
    assert told == [["B", "c", "d"], ["B", "c", "D"]]
    watch.stop()
    new.name = "unheard"
    assert len(told) == 2
