"""Virtual boards: an emulated ESP32 behind a serial port, for mpremote and everything built on it."""
