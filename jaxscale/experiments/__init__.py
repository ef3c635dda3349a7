"""Which runs to train next: designs of first runs, and the runs that tell a plan the most."""
