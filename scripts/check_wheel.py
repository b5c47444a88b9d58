"""Build the wheel, install it beside each Qt binding, and open the viewer with the Register panel.

    .venv/bin/python scripts/check_wheel.py [PyQt6] [PySide6]

Each binding gets a virtual environment of its own under build/wheel, with the versions of constraints.txt and
without extras. A sample pair is registered in the panel; screenshots are left in build/wheel.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "wheel"
BINDINGS = ("PyQt6", "PySide6")
# Where there is no display, a virtual one.
HEADLESS = sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
ON_DISPLAY = ("xvfb-run", "-a", "-s", "-screen 0 1600x1000x24") if HEADLESS else ()
# Run in the new environment, away from the checkout, so that nothing but the wheel can be imported.
SESSION = """
import sys
from importlib.metadata import version
from pathlib import Path

import napari
import napari_voxreg
from napari_voxreg.samples import make_sample
from qtpy import API_NAME
from qtpy.QtCore import QEventLoop, QTimer

assert "site-packages" in napari_voxreg.__file__, napari_voxreg.__file__
assert API_NAME == sys.argv[2], API_NAME
viewer = napari.Viewer()
viewer.window._qt_window.resize(1400, 900)
_, panel = viewer.window.add_plugin_dock_widget("napari-voxreg", "Register")
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
print(API_NAME, version(API_NAME), "napari", version("napari"), panel.result.verdict.sentence)
viewer.close()
"""


def build() -> Path:
    """Build the wheel of this checkout."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    for old in FOLDER.glob("*.whl"):
        old.unlink()
    subprocess.run([*pip, "--wheel-dir", str(FOLDER), str(ROOT)], check=True)
    return next(FOLDER.glob("*.whl"))


def check(wheel: Path, binding: str) -> None:
    """Install the wheel beside one binding, and register a pair in the panel."""
    home = FOLDER / binding
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    venv.create(home, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel), binding], check=True)
    subprocess.run([str(python), "-m", "pip", "check"], check=True)
    screenshot = FOLDER / f"{binding}.png"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    session = [*ON_DISPLAY, str(python), "-c", SESSION, str(screenshot), binding]
    subprocess.run(session, check=True, cwd=FOLDER, env=environment)
    print(f"{binding}: see {screenshot}", flush=True)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    built = build()
    for name in sys.argv[1:] or BINDINGS:
        check(built, name)
