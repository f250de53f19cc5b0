"""What training minimises: errors of pictures, perceptual distance, the size of changes."""
