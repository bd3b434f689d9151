"""A port of Swin to PyTorch that can make mistakes on purpose, to measure how many of them are found.

`port` runs it. `layout` has the model's tensors and sizes, `mistakes` the list of mistakes, `places`, `sites` and
`conditions` where each can be made. `tape` and `order` are the arithmetic, `patches`, `parts`, `gates`, `attention`,
`shift`, `windows` and `bias` the model, `backward` the wrong derivatives. The port is written from the paper and uses
no code of npswin. `check` compares the two, and `names` maps the port's mistakes to those of npswin's catalogue.
"""
