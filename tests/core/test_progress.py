"""Progress that logs its stages."""

import logging
import time

from napari_voxreg.core.progress import logged


def test_each_stage_is_logged_once_with_its_seconds(caplog, monkeypatch):
    caplog.set_level("DEBUG", logger="some")
    seconds = iter([10.0, 11.26, 11.27])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    seen = []
    report = logged(lambda *values: seen.append(values), logging.getLogger("some"))
    reports = [(0.0, "level 1", 0.5), (0.2, "level 1", 0.4), (0.5, "level 2", None), (1.0, "done", None)]
    for given in reports:
        report(*given)
    assert seen == reports
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [("INFO", "level 1: 1.3 s"), ("DEBUG", "level 2: 0.0 s")]  # the last has not ended
