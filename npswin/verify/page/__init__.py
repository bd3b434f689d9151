"""A comparison as one page, self-contained."""

from npswin.verify.page.page import comparison_page

__all__ = ["comparison_page"]
