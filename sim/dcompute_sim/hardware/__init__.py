"""Hardware in the loop: boards on serial ports as nodes of a scenario."""
