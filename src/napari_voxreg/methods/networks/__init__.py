"""Methods that use a trained network."""
