"""Delivery end to end, explored: the real cores in every order that the world may choose."""
