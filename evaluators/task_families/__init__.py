"""Families of related tasks that differ by a context: material for choosing training tasks."""
