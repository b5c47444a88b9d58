"""Global search for the pose of one image on another, whatever their modalities."""

from .pose import Pose

__all__ = ["Pose"]
