"""The page *VoxReg* of napari's Preferences, remembered between sessions by napari."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import napari.settings
from npe2 import PluginManager

from ..core import threads

PLUGIN = "napari-voxreg"
NO_LOOK = "layers as they are"  # in place of a way to compare


class Preferences(Protocol):
    """What can be set; see ``configurations`` in napari.yaml.

    Attributes
    ----------
    method, device : str
        First chosen in a new panel, as `register` takes them.
    background : str
        First chosen in a new panel: "background", "nan" or "0".
    look : str
        How fixed and warped are compared after a run, or `NO_LOOK`.
    keep_earlier : bool
        Whether the layers of earlier runs stay in the viewer when a new one ends.
    threads : int
        0 for as many as the libraries like.
    cache_folder : str
        Of downloaded samples; empty for the usual one.
    """

    method: str
    device: str
    background: str
    look: str
    keep_earlier: bool
    threads: int
    cache_folder: str


@dataclass
class Unsaved:
    """The same in napari before 0.9, which has no such page: as they are at first, for this session."""

    method: str = "auto"
    device: str = "auto"
    background: str = "background"
    look: str = "overlay"
    keep_earlier: bool = False
    threads: int = 0
    cache_folder: str = ""


_unsaved = Unsaved()


def preferences() -> Preferences:
    """The user's preferences; whatever is set is saved by napari."""
    if not hasattr(napari.settings, "get_plugin_settings"):
        return _unsaved
    try:
        found: Preferences = napari.settings.get_plugin_settings(PLUGIN).registration
    except KeyError:  # the plugin is disabled, and used by a script
        return _unsaved
    return found


def described() -> tuple[Path | None, dict[str, object]]:
    """What is set, for the report of a problem: also outside napari, and without the user's folder.

    Returns
    -------
    path or None
        The folder in which napari keeps settings, if it keeps any.
    dict
        Names of `Preferences` and their values.
    """
    PluginManager.instance().discover()  # as napari does when it starts
    chosen, file = preferences(), napari.settings.get_settings().config_path
    names = ("method", "device", "background", "look", "keep_earlier", "threads")
    cache = "own" if chosen.cache_folder.strip() else "usual"
    values = {name: getattr(chosen, name) for name in names}
    return None if file is None else Path(file).parent, {**values, "cache_folder": cache}


def use_threads() -> None:
    """Limit the threads of the next computation as the user prefers."""
    threads.use(preferences().threads)


def cache_folder() -> Path | None:
    """Where downloaded samples are kept; None for the usual place."""
    given = preferences().cache_folder.strip()
    return Path(given).expanduser() if given else None
