"""Tensor operations shared by optimisers and networks: warping, integration, similarities."""
