"""Tensor building blocks shared by optimisers and networks: warping, integration, similarities."""
