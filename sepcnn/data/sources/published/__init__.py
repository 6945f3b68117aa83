"""Published data sets: where to download them and how to read them."""
