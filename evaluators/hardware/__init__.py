"""What networks cost on a machine: tables of layers, a model of them, totals over networks."""
