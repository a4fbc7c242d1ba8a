"""What a folder holds, and the sandbox.yaml and images.yaml made of it."""
