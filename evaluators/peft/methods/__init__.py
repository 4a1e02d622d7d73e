"""The methods: one module each, with all that is known of it in its `METHOD`."""
