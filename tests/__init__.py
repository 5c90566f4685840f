"""The tests: a folder a room, and `house` for the rules of the house."""
