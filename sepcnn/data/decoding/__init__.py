"""From the bytes of an image file to pixels of the model's input."""
