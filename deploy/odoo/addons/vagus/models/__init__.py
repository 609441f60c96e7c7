from . import policy
from . import unit
from . import effects
from . import change
