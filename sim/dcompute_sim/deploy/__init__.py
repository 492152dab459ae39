"""`dcompute deploy`: firmware onto boards over serial ports, switched by one rename, proven by the broker."""
