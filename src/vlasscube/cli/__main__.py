"""``python -m vlasscube.cli``."""

import sys

from vlasscube.cli.main import main

sys.exit(main())
