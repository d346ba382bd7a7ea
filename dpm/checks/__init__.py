"""Should we believe it: convergence, predictive checks, calibration on held-out patients."""
