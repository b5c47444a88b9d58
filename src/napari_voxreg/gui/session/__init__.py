"""What a viewer keeps of its registrations: the runs, and their layers."""
