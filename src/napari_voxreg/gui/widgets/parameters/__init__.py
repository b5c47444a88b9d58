"""Forms for declared parameters."""
