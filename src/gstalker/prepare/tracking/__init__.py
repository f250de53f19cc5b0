"""Where the face is: landmarks in pixels, the head's pose, the lens and the subject's own shape."""
