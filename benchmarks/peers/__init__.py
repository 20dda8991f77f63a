"""Programs that drive other solvers, each in an environment of its own."""
