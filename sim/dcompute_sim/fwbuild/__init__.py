"""The building of a board's program: several files in, one small file out."""
