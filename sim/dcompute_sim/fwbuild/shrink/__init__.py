"""What makes a merged program smaller in a heap, step by step, without changing what it does.

shorten   letters for names that only the program uses; `kept` says which are not
texts     one long text, and pieces of it
flatten   one object of an object and of those that only it has
inline    functions that are called in one place are put there (`site`: how)
frames    variables that are never needed at the same time share a place
"""
