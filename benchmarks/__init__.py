"""What the README states as measured, and the program that measures it: ``python -m benchmarks``."""
