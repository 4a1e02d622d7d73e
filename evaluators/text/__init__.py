"""Fine-tuned language models on texts: tasks, backbones, training, evaluators."""
