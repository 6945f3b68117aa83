"""``sepcnn preview``: a picture of the images as the model receives them."""
