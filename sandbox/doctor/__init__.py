"""Looks at what a sandbox needs and says what is wrong and how to repair it; changes nothing."""
