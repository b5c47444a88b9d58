"""Build the wheel, install it beside each Qt binding, and open the viewer with the Register panel.

    .venv/bin/python scripts/check_wheel.py [PyQt6] [PySide6]

Each binding gets a virtual environment of its own under build/wheel, with the versions of constraints.txt and
without extras. A sample pair is registered in the panel; screenshots are left in build/wheel. Printed are the
size of the environment and how long importing the package and opening the panel take.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "wheel"
BINDINGS = ("PyQt6", "PySide6")
# Where there is no display, a virtual one.
HEADLESS = sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
ON_DISPLAY = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24") if HEADLESS else ()
# Run in the new environment, away from the checkout, so that nothing but the wheel can be imported.
IMPORT = "import time; t = time.perf_counter(); import napari_voxreg; print(time.perf_counter() - t)"
SESSION = """
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import napari
import napari_voxreg
from napari_voxreg.samples import make_sample
from qtpy import API_NAME
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QApplication

assert "site-packages" in napari_voxreg.__file__, napari_voxreg.__file__
assert API_NAME == sys.argv[2], API_NAME
viewer = napari.Viewer()
viewer.window._qt_window.resize(1400, 900)
start = time.perf_counter()
_, panel = viewer.window.add_plugin_dock_widget("napari-voxreg", "Register")
QApplication.processEvents()
opened = time.perf_counter() - start
pair = make_sample("fundus")
for name, image in (("fixed", pair.fixed), ("moving", pair.moving)):
    viewer.add_image(image.data, name=name)
panel.pair.fixed.choose(viewer.layers["fixed"])
panel.pair.moving.choose(viewer.layers["moving"])
panel.method.choose("affine")
loop = QEventLoop()
complaints = []
panel.finished.connect(lambda result: QTimer.singleShot(1000, loop.quit))
panel.failed.connect(lambda sentence: (complaints.append(sentence), loop.quit()))
QTimer.singleShot(300_000, lambda: (complaints.append("nothing happened for five minutes"), loop.quit()))
panel.run()
loop.exec()
assert viewer.window._qt_window.grab().save(sys.argv[1])
assert not complaints, complaints
found = {
    "python": sys.version.split()[0],
    "binding": f"{API_NAME} {version(API_NAME)}",
    "napari": version("napari"),
    "panel": opened,
    "verdict": panel.result.verdict.sentence,
}
viewer.close()
print(json.dumps(found))
"""


def build() -> Path:
    """Build the wheel of this checkout."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    for old in FOLDER.glob("*.whl"):
        old.unlink()
    subprocess.run([*pip, "--wheel-dir", str(FOLDER), str(ROOT)], check=True)
    return next(FOLDER.glob("*.whl"))


def check(wheel: Path, binding: str, interpreter: str = sys.executable) -> dict[str, Any]:
    """Install the wheel beside one binding, and register a pair in the panel.

    Returns
    -------
    dict
        Versions, the verdict, megabytes of the environment, and seconds of the import and of the panel.
    """
    home = FOLDER / binding
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, check=True, cwd=FOLDER, env=environment, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    run(interpreter, "-m", "venv", "--clear", str(home))
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "-c", str(ROOT / "constraints.txt"), str(wheel), binding)
    run(str(python), "-m", "pip", "check")
    screenshot = FOLDER / f"{binding}.png"
    found: dict[str, Any] = json.loads(
        run(*ON_DISPLAY, str(python), "-c", SESSION, str(screenshot), binding).splitlines()[-1]
    )
    found["import"] = float(run(str(python), "-c", IMPORT))
    found["megabytes"] = sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) / 2**20
    return found


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    built = build()
    for name in sys.argv[1:] or BINDINGS:
        print(check(built, name), f"see {FOLDER / name}.png", flush=True)
