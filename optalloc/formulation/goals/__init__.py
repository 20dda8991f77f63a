"""The goals: one file a family, each with its policy classes and their formulation."""
