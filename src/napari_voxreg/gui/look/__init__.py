"""How two layers are compared by eye."""
