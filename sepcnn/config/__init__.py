"""The config file: its sections, the rules between them, and its JSON schema."""
