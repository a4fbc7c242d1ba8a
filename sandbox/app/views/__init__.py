"""What commands show: the sandboxes of this machine, their state, and their addresses."""
