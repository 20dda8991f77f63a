"""What the README states as measured, and ``python -m benchmarks``, which measures it."""
