"""Its place makes ``made_rows`` importable."""
