"""The counterpart: a simulated person and attacks to test against, and the measuring of error rates."""
