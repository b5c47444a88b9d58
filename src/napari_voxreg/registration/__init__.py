"""From two images to a result with a verdict."""
