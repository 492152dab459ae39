"""What the `dcompute` command does; `dcompute.cli` is its face."""
