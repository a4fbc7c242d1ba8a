"""`sandbox dev`: watches a project's files, and brings what changes into the running sandbox."""
