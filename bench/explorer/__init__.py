"""
An explorer of schedules: which job, person or fault comes at which point.

It runs the real code on PostgreSQL, and decides at each point who continues, who is killed,
which answers are lost, and when time passes. After each schedule, it compares the rows
with the platform's ledger.
"""
