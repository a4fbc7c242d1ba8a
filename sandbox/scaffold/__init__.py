"""Looks at a project's folder and writes the files with which `sandbox up` brings it up."""
