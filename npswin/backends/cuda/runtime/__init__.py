"""What kernels need to run: their compilation and launch, cuBLAS, constants on the GPU, CUDA graphs."""
