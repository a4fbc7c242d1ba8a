"""The edge as a process, where no container can reach the ingress."""
