"""Control tasks with a context, policies for many of them at once, and how well they transfer."""

from .families import SETUPS, ControlFamily, load_policies, save_policies

__all__ = ["SETUPS", "ControlFamily", "load_policies", "save_policies"]
