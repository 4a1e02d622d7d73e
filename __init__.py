"""Bequest: find a good model for a new task in few trials."""
