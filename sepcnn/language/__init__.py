"""The language of a config: YAML with positions, read into typed specs. It knows no layer."""
