"""The ports of this machine, and the hosts and Services that the edge leads to."""
