"""Joint search of architecture, pruning and quantisation under limits.

Source: Wang et al., *APQ: Joint Search for Network Architecture, Pruning and Quantization Policy*,
CVPR 2020.
"""
