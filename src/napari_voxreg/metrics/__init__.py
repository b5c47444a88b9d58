"""How good a transform is: scores, the verdict, and evidence that a result is not due to chance."""
