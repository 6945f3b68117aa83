"""``sepcnn preview``: a picture of the images as the net sees them."""
