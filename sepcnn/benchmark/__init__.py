"""How fast a net is trained and used on this machine: what `sepcnn benchmark` measures."""
