"""Building of firmware: a program's modules merged into few and made smaller, to fit a small heap.

Rules: the program built does the same, in the same order, as its sources, and looks the same from outside.
Each step takes syntax trees and changes them; none runs the program, or knows the emulator: what a board has
built in is given by whoever asks (`built_in`).

In the order of the steps:
    files         which files a program has
    merge         modules become part of the few that others import; constants are put in where they are used
    keep_names    which attributes others use; all others are the program's own
    mangle        letters for names that only the program uses (`scope` tells which a piece of code binds)
    pool_strings  one long string, and pieces of it
    flatten       one object of an object and of those that only it has
    inline        functions that are called in one place are put there (`inline_call`: how)
    share_locals  variables that are never needed at the same time share a place in the frame
    compile       all of these on dcompute's firmware, then mpy-cross

Rejected: a minifier for CPython. Those shorten the source, which no heap keeps; what counts in 40 KiB are
 objects and functions, some hundred bytes each.
"""
