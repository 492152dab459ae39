"""`python -m dcompute`: the same as the `dcompute` command."""

from dcompute.cli import main

main()
