"""
Measurements: the portal's work, and its floor, in one run.

The floor is the same work done the barest way, on the same machine at the same time;
machines are noisy, and the ratio of the two holds.
"""
