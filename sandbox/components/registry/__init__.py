"""The sandbox's registry, its mirrors, and what nodes are told of them."""
