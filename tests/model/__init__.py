"""A state model of the engine, which is explored exhaustively. See `explore`."""
