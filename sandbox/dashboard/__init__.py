"""A local page that shows every sandbox of this machine as it is now, with pods' logs and a restart."""
