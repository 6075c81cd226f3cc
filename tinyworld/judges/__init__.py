"""Judge generated pictures by their pixels alone, independently of every network that the pipeline runs."""
