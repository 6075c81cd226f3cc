"""What can be read from features: leakage, retrieval, dependence, closed-form erasure."""
