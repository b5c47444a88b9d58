"""The Landmarks panel: numbered pairs of points, their errors, and transforms fitted to them."""
