"""Compiled inner loops of the searches; nothing here knows of machines, files or time."""
