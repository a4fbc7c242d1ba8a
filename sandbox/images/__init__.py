"""What push-images does: a manifest of images, one plan, only what is missing is sent."""
