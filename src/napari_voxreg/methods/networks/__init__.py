"""Methods that ask a trained network."""
