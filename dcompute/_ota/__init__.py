"""A node's way to a new version, as the master sees it."""
