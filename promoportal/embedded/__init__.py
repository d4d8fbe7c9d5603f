"""The old name of `promoportal.db.embedded`, for one release."""
