"""One script for each claim: ``python -m benchmarks.NAME --out FILE.json``, run at the root."""
