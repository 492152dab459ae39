"""The ESP32 emulator: MicroPython's unix port, provisioned, shimmed and driven."""
