"""Weights on disk: our own format and those of VoxelMorph's releases."""
