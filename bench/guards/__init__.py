"""
Guards: lines of the code that hold a guarantee, each with an edit that removes it.

`make guards` removes one guard after the other in a copy of the project. It runs the
tests that must fail without it, and reports each guard that no test detects. The
guards are listed in the TOML files of this folder.
"""
