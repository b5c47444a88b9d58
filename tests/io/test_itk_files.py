"""Threads that read and write through ITK at the same time."""

import subprocess
import sys

import numpy as np

from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.io.images import write_image

SCRIPT = """
import sys, threading
from pathlib import Path
import SimpleITK as sitk
from napari_voxreg.io import itk_files

folder, wrong = Path(sys.argv[1]), []

def many(action):
    try:
        for k in range(100):
            action(k)
    except BaseException as error:
        wrong.append(error)

def write(name):
    return lambda k: itk_files.write_transform(sitk.AffineTransform(3), folder / f"{name}{k}.h5")

actions = [write("a"), write("b"), lambda k: itk_files.read_image(folder / "image.nrrd"),
           lambda k: itk_files.read_header(folder / "image.nrrd")]
threads = [threading.Thread(target=many, args=(action,)) for action in actions]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong, wrong
assert len(list(folder.glob("*.h5"))) == 200
"""


def test_threads_read_and_write_at_the_same_time(tmp_path):
    """Without a lock this ends in a crash of the process, so it runs in one of its own."""
    image = Image(np.zeros((8, 16, 16), np.float32), Grid.from_spacing((8, 16, 16)))
    write_image(image, tmp_path / "image.nrrd")
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
