"""
Benchmarks: the portal's work and its floor, measured in one run.

The floor is the same work done in the simplest way, on the same machine at the same
time: machines are noisy, but the ratio of the two is stable.
"""
