"""The parts of a net: layers, their graph, losses, optimizers and schedules."""
