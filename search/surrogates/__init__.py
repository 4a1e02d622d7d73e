"""Surrogate models: kernels, evidence, acquisition, and the Gaussian processes built from them."""
