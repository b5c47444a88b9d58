"""Losses as TensorBoard events."""

from __future__ import annotations

import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto import event_pb2
from tensorboardX.summary import scalar

from .events import Losses


class EventsFile:
    """An events file beside a run's weights, written in this thread so that a full disk is noticed.

    Parameters
    ----------
    folder : Path
    step : int
        Where this session begins; what an earlier session wrote of later steps no longer counts.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = EventsWriter(str(folder / "events"), f".{step}")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=step, session_log=start))

    def add(self, prefix: str, losses: Losses, step: int) -> None:
        """Losses at a step, as ``prefix/total`` and so on."""
        for name, value in vars(losses).items():
            if value is not None:
                summary = scalar(f"{prefix}/{name}", value)
                self._writer.write_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Write out what was added."""
        self._writer.flush()

    def close(self) -> None:
        """The end of this session."""
        self._writer.close()
