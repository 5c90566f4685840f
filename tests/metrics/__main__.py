"""Write the reference page: `python -m tests.metrics`."""

from headrace.metrics import build_page
from tests.metrics.test_page import PAGE

PAGE.write_text(build_page())
