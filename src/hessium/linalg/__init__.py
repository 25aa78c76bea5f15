"""Symmetric operators and the linear algebra on them; independent of networks."""

from hessium.linalg.adapt import Operator as Operator
from hessium.linalg.adapt import as_operator as as_operator
from hessium.linalg.operator import SymmetricOperator as SymmetricOperator
