"""
The sandbox page at `/`: campaigns, promotions, faults, listeners and recent requests.

The page is HTML without scripts. The module `html` escapes all text.
"""
