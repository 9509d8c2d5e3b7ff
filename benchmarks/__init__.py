"""What the service does, how fast and how large, on the embedded PostgreSQL: ``make bench``. Tests are never timed."""
