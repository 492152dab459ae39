"""What supplies nodes, links and a broker to the director: real sockets, or virtual time."""
