"""Everything `up` needs as images and tools, built from package registries where no image registry can be reached."""
