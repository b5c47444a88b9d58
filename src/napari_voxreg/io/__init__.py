"""Reading and writing files: the only places that open them."""
