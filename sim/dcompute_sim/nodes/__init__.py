"""The kinds of node a scenario can start."""
