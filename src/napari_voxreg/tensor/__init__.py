"""Building blocks on tensors that optimisers and networks share."""
