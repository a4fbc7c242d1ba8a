"""Projects from elsewhere: fetched, kept as copies, and trusted by revision."""
