"""What an evaluation writes: metrics.json, the page, plots, acceptance criteria, the model card."""
