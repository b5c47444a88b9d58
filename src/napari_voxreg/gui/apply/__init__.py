"""The Apply panel: transforms on whatever belongs to an image."""
