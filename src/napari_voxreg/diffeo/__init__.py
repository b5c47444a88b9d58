"""Deformable registration by gradient descent on a stationary velocity field."""
