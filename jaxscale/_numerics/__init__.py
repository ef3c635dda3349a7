"""Arrays at the border of the library, masks, logarithms, and the jit that keys by class."""
