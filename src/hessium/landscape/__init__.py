"""Critical points: finders, certificates, classes, index intervals."""

from hessium.landscape.continuation import continue_ridge as continue_ridge
from hessium.landscape.find import find_critical_point as find_critical_point
from hessium.landscape.point import Certificate as Certificate
from hessium.landscape.point import CriticalPoint as CriticalPoint
