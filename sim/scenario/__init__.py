"""The scenario language: schema, loader, units and selectors."""
