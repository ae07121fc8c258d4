"""What checking costs, on the CPU and on a GPU, beside every peer: `python -m benchmarks`."""
