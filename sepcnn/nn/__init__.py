"""The parts of a model: layers, their graph, losses, optimizers and schedules."""
