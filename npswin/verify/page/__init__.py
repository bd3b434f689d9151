"""A comparison as a self-contained HTML page."""

from npswin.verify.page.page import comparison_page

__all__ = ["comparison_page"]
