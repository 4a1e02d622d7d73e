"""Running trials: the study store, slots, the worker loop, worker processes, recovery."""
