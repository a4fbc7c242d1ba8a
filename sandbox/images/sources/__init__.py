"""The sources of images, one module for each, all of them a Source."""
