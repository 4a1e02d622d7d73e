"""Choosing which tasks to train on, when training on all is too dear (MBTL and its successors)."""
