"""Links that carry bytes and can be broken: TCP fault proxy, virtual network, packet capture."""
