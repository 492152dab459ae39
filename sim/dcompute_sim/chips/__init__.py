"""What a chip takes: time to boot, compute and join, current in each state. One file a chip, with sources.

Rules: a figure says in its file where it was measured. Nothing here knows the emulator, which asks for what
it needs. A scenario's `timing:` names one of these files, or one of its own in the same form.
"""
