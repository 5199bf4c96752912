"""``python -m front``: see server.py."""

import sys

from front.server import main

sys.exit(main())
