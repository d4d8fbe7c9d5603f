"""
Benchmarks: the time of the portal's work, and of a floor, measured in one run.

The floor is similar work done in the simplest way, on the same machine, directly after
the portal's work. Times vary from machine to machine; their ratio varies less.
"""
