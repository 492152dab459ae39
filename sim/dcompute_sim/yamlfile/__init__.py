"""YAML files with located errors, includes, variables and units: for scenarios, hardware maps and fleets.

Rules: it knows no file of ours, only YAML and pydantic models. Whatever is in a file, the outcome is a tree
in which each value knows its place, or a LocatedError that says where, what, and what to write instead. Every
problem of a file is told at once. Nothing here imports the rest of the testbed.

In the order of use:
    tree        from bytes to the tree, within limits
    include     a file and what it includes, as one tree
    override    `--set path=value`
    matrix      one tree for each combination of some values
    variables   `${name}`
    model       what the pydantic models of files share
    units       `10s`, `64KiB`, `20/s`
    validation  what pydantic complains of, at its place
    place       from a path of keys to a place
    problems    what is said of a place
"""
