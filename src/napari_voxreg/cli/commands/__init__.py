"""The commands, a file each: `add` declares the options, `run` does the work."""
