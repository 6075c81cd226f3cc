"""What users hand in: listings of sources, licences, pose files."""
