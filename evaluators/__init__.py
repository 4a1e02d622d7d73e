"""What measures a configuration: tasks, evaluators, outcomes."""
