"""elastix, in a child process."""
