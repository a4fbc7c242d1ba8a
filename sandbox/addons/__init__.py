"""Addons: folders of manifests with a few lines about them, which a sandbox has while it is asked to and no longer."""
