"""The type checker that the tests put on every function of the library."""

from beartype import BeartypeConf, beartype

# as static checkers read PEP 484: an int is a float
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
