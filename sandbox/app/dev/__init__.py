"""`sandbox dev`: watches a project's files, and applies each change to the running sandbox."""
