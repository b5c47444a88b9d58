"""Draw the pictures of README.md and docs/ in the real viewer.

    xvfb-run -a -s "-screen 0 1600x1000x24" .venv/bin/python scripts/pictures [NAME ...]

Without names, all are drawn. Each is written to docs/images. Napari's settings are those of a fresh
installation; those of whoever runs this are neither read nor written.
"""

import argparse
import os
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"


def main() -> None:
    """The command line."""
    with tempfile.TemporaryDirectory() as settings:
        os.environ["NAPARI_CONFIG"] = str(Path(settings) / "settings.yaml")
        from scenes import SCENES  # loads napari, which reads its settings then

        parser = argparse.ArgumentParser(description="Draw the pictures of the documentation.")
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SCENES)}")
        parser.add_argument("-o", "--output", type=Path, default=FOLDER, metavar="DIR")
        chosen = parser.parse_args()
        for name in chosen.names or SCENES:
            SCENES[name](chosen.output)
            print(name, flush=True)


if __name__ == "__main__":
    main()
