"""What a run is made of, as interfaces: below everything that implements them."""
