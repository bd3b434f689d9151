"""Descriptions of how one array follows from another: the same numbers elsewhere, a scalar function, other parameters.

A fit is found from the numbers alone and says in words what relates a port's tensor to the right one. It does not know
what operation made them; `npswin.verify.mistakes.fitted` does.
"""
