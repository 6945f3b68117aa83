"""Measure the speed of training and inference on this machine, for ``sepcnn benchmark``."""
