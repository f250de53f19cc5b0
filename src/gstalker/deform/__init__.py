"""Sound and pose move the cloud: ``audio`` hears, ``field`` moves the face, ``torso`` the rest."""
