"""The manifest: the Parquet file (or folder of shards) that is the dataset."""
