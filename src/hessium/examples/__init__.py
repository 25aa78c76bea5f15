"""Models with their data, as targets of the command line and as code to start from.

    hessium example                                   # their names
    hessium example digits > digits.py                # the source of one
    hessium spectrum hessium.examples.digits:make     # one as a target

Each module has a function `make` that returns a `hessium.EmpiricalRisk`; arguments of `make` are
set by `--set NAME=VALUE`. `hessium.examples.catalogue` names them.
"""
