"""The paper's tables and figures in miniature, each from trainings and evaluations that resume."""
