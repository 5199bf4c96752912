"""Photos with a class for every pixel: read, made from photos alone, varied together with them, and measured."""
