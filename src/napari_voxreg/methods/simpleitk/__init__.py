"""Methods that SimpleITK's optimisers run."""
