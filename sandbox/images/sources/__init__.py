"""The places images come from, one module for each, all of them a Source."""
