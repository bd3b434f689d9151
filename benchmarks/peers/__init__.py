"""What `benchmarks/speed.py` is made of.

`workloads` says what is measured, `npswin_model`, `pytorch`, `exported` and `sgemm` are the competitors, each run by
`worker` in a process of its own; `processes` is the other end of the worker's pipe, `rounds` and `fresh` measure,
`machine` and `report` say on what and how it went.
"""
