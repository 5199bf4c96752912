"""Networks that answer a class for every pixel."""
