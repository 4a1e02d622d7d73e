"""Conformance suites: what every space, evaluator, fine-tuning method, ... must do.

A test subclasses a suite, provides its fixtures and inherits the tests, for Bequest's own classes
and people's alike. The suites need pytest; this package itself does not.
"""
