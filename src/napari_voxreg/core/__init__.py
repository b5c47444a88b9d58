"""Ground floor: grids and images, parameters, progress, the child process."""

import logging

# Who listens decides what is shown: the command line with --verbose, the log of the panel, or the user. This
# is not in the package itself, which loads next to nothing: Ctrl-C meanwhile prints a traceback.
logging.getLogger("napari_voxreg").addHandler(logging.NullHandler())
