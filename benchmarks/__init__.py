"""Measurements of the running service. Figures depend on the machine; tests are never timed."""
