"""The scenarios: one module each, with a ``SUMMARY`` and a ``build`` function."""
