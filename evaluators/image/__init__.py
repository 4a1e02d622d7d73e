"""Networks of cells on images: tasks, networks, supernets, training, evaluators."""
