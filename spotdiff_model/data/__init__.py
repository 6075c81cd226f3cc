"""From a manifest to training batches: rows, frozen features in a cache, pairs of pictures of one subject."""
