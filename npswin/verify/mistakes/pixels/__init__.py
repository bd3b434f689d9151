"""What a port did to images before the first layer: other values, places, sizes, colours, or parts of the batch."""

from npswin.verify.mistakes.pixels.fit import fit_pixels

__all__ = ["fit_pixels"]
