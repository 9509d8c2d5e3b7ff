"""The shell: HTTP, SQL, settings, the wall clock and the command line."""
