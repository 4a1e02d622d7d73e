"""Tasks by name: one loader module per kind of data."""
