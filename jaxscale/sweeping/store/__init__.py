"""Sweeps on disk: Zarr stores that survive kills, moves and flipped bytes."""
