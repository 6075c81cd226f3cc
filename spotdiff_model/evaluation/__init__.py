"""Does an encoder separate subject, pose and background? Measures that cannot flatter, and their report."""
