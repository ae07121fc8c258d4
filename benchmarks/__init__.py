"""The cost of checking, on the CPU and on a GPU, beside every peer: `python -m benchmarks`."""
