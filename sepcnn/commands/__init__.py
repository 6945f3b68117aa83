"""The commands, one thin file each: read arguments, call one thing, print it."""
