"""What the master knows of nodes and tasks, as plain state machines."""
