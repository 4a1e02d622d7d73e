"""Samplers: each proposes the next configuration."""
