"""Vendors generators: stubs that behave as documented, and the matrix that every adapter passes."""
