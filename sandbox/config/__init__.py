"""sandbox.yaml and what it means: read, checked, with errors that name file, line and key."""
