"""``python -m clara_lightning`` is the command ``clara``."""

import sys

from clara_lightning.cli.main import main

sys.exit(main())
