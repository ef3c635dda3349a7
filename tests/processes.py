"""What tests share that start processes."""

# Seconds without an end after which a process counts as hung, however loaded the machine is.
# Tests wait for what happens, never for a time.
HUNG = 1800
