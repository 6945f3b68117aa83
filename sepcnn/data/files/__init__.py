"""Image files: listing, decoding, and the cache of decoded pixels."""
