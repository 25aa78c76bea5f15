"""Symmetric operators and the linear algebra on them; independent of networks."""

from hessium.linalg.adapt import Operator as Operator
from hessium.linalg.adapt import as_operator as as_operator
from hessium.linalg.congruence import BlockKronecker as BlockKronecker
from hessium.linalg.congruence import Diagonal as Diagonal
from hessium.linalg.congruence import KroneckerBlock as KroneckerBlock
from hessium.linalg.from_function import from_matvec as from_matvec
from hessium.linalg.low_rank import IdentityPlusLowRank as IdentityPlusLowRank
from hessium.linalg.low_rank import lbfgs_root as lbfgs_root
from hessium.linalg.operator import SymmetricOperator as SymmetricOperator
