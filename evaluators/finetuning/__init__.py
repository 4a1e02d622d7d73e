"""Tuning pre-trained backbones, whatever they read: training, kept states, costs, an evaluator."""
