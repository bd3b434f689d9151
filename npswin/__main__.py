"""python -m npswin: the same as the command npswin."""

import sys

from npswin.cli import main

sys.exit(main())
