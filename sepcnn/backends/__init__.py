"""How a net is computed: devices, CPU kernels, torch.compile, CUDA graphs."""
