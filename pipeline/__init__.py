"""The data plane: builds the dataset, imports no workflow engine."""
