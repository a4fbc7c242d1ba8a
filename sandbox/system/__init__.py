"""This machine: processes, files, locks, ports, names."""
