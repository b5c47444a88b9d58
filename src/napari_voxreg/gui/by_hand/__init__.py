"""The pose of the moving image, set by hand."""
