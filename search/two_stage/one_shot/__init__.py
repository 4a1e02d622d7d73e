"""Relaxed architecture search: architectures by gradient, one training instead of hundreds.

Optimisers (`darts`, `rarts`, `exact`) know nothing of networks: they move vectors of weights and of
alphas down the losses of a `problem.Problem`. `phase` runs one over a supernet's epochs.
"""
