from . import policy
from . import unit
from . import deferred
from . import change
from . import noted
from . import views
