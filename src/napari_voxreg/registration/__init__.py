"""From two images to a judged result."""
