"""Puts transformers' test mixins on the path where `make transformers-suite` has fetched them."""

import sys

from tests.transformers_suite.fetch import package_folder

sys.path.insert(0, str(package_folder().parent))
