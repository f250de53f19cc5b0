"""The C++17 kernels: a plain C interface, loaded with ctypes, no torch headers.

``build`` compiles them, ``library`` finds and checks the result; the rooms that use a kernel wrap
it themselves. Nothing here knows what a kernel is for.
"""
