"""What a node needs of its machine: an id by default, a clean end on a signal."""
