"""The Register panel."""
