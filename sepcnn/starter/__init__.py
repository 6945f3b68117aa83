"""``sepcnn init``: a config that suits a folder of images."""
