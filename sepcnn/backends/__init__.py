"""How a model is computed: devices, CPU kernels, torch.compile, CUDA graphs."""
