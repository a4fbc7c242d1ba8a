"""A server of the Model Context Protocol (MCP): what a coding agent may do with one sandbox."""
