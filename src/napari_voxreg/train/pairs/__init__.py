"""Training on the user's own pairs."""
