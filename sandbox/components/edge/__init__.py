"""The edge: brings the machine's ports to every sandbox's ingress."""
