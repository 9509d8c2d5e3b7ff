"""Make the double, only with a permit."""
