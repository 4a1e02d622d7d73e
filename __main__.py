"""``python -m bequest``: the command line."""

from .cli import main

main()
