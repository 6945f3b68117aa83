"""Which files are images, and their classes and splits."""
