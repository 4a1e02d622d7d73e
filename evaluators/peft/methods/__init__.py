"""The methods: one module for each idea."""
