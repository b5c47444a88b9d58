"""Processes that train together on one machine meet on its loopback interface alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, os, sys
from pathlib import Path
import psutil
from napari_voxreg.train.distributed import FabricProcesses

processes = FabricProcesses("cpu", 2, 1)
assert processes.agree("pause" if processes.rank == 0 else "go") == "pause"
own = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
Path(sys.argv[1], f"{processes.rank}.json").write_text(json.dumps([a.ip for a in own]))
assert processes.agree("stop") == "stop"
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at the sockets of other processes")
def test_they_listen_on_loopback_only(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    words = [sys.executable, str(script), str(tmp_path)]
    found = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert found.returncode == 0, found.stderr[-2000:]
    addresses = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert addresses[0], "the first one waits for the others"
    assert {address for each in addresses for address in each} <= {"127.0.0.1", "::1"}
