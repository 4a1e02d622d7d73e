"""Fine-tuning of pre-trained backbones of texts and images: training, costs, evaluator."""
