"""``sepcnn init``: configs to start from, for a folder of images or copied from shipped ones."""
