"""Searches in two stages: one that trains a shared network, then trials."""
