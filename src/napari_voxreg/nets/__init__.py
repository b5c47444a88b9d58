"""Registration networks: architectures, checkpoints, inference and training losses."""
