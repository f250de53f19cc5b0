"""What training minimises: ``photometric`` on whole pictures, ``perceptual`` on patches, ``regularize``."""
