"""The sandbox page at `/`: HTML without scripts."""
