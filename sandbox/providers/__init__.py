"""The kinds of cluster: what makes one, and how its nodes are reached; everything else is the same for all of them."""
