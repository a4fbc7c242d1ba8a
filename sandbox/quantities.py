"""Says how many there are of something, and how large it is, as people read it."""


def count(number: int, noun: str) -> str:
    return f"{number} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"
