"""Pictures and pages that show a dataset to people."""
