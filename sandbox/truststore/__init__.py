"""The trust stores of the system, browsers and Java."""
