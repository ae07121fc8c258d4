"""The typed layers, one file for each family."""
