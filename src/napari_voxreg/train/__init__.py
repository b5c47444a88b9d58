"""Training: synthetic pairs, recipes, the loop."""
