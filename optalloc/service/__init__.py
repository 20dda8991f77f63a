"""The oracle as a service: HTTP and JSON over one oracle, with a journal on disk."""
