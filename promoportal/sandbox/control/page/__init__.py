"""
Optimove's page at `/`: campaigns, promotions, listeners and the last requests.

It is plain HTML without scripts; everything is escaped in one place.
"""
