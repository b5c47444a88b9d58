"""The napari side: the only place that loads napari, Qt or magicgui."""
