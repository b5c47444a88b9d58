"""Write all sample pairs: python -m napari_voxreg.samples FOLDER."""

import sys

from .files import write_all

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Give the folder to write: python -m napari_voxreg.samples sample_data")
    write_all(sys.argv[1])
