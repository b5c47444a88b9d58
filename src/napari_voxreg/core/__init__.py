"""Ground floor: grids and images, parameters, progress, the child process."""
