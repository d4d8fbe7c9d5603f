"""
The sandbox page at `/`: campaigns, promotions, faults, listeners and recent requests.

The page is HTML without scripts. All text is escaped in one place, `html.element`.
"""
