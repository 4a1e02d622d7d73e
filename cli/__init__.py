"""The ``bequest`` command: one module for each subcommand, joined in `app`."""

from __future__ import annotations


def main() -> None:
    """Run the command (see `app.main`)."""
    from .app import main as run

    run()
