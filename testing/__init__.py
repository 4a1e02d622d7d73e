"""Conformance suites: subclass one in a test of yours, and it inherits the tests."""
