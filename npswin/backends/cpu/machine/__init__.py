"""The machine: what the processor offers, compilation, threads and their jobs, memory, arrays as kernels take them."""
