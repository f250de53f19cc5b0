"""Rays through the space of a head, and what lies along them as pixels.

``box`` makes rays of a camera, ``march`` finds where along them something is (``occupancy`` knows),
``sampling`` draws places where nothing is known yet, ``volume`` sums what a field says of them. The
parts that every sample goes through are kernels (``native/src/rays.cpp``) beside their references.
"""
