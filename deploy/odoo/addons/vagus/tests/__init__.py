from . import test_attacks
from . import test_changes
from . import test_together
from . import test_units
