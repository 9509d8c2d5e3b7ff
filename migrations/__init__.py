"""Changes of the schema, in order. Each file's name says what it does."""
