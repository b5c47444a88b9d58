"""Training on synthetic pairs: the recipes of the shipped weights."""
