"""Hypothesis strategies made from annotations."""
