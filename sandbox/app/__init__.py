"""The application: what commands, the Python API, the pytest plugin and the dashboard call."""
