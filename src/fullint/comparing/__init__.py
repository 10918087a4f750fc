"""A float model and an integer model of it compared, operator by operator: `compare`."""
