"""One script per claim; ``python -m benchmarks.NAME --help`` from the repository's root."""
