"""Many solves, each in a process of its own, and what came of them: a JSON row each."""
