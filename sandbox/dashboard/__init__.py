"""A local page that shows every sandbox of this machine as it is now, and changes nothing."""
