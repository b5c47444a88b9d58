"""Global search for the pose of one image on another."""
