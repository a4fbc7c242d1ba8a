"""The files of a sandbox's project: checked, exported, or fetched from elsewhere and trusted by revision."""
