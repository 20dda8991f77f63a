"""The benchmarks: one module each, which holds a ``BENCHMARK``."""
