"""Joining studies and banks: source tasks for a new study, its records for later ones, replays."""
