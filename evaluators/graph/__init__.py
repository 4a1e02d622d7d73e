"""Graph networks on graph tasks: tasks, networks, training, evaluators."""
