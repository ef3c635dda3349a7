"""Loss curves: laws over the steps of a training, its schedule, and the end from the start."""
