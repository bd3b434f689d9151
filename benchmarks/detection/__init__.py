"""A port of Swin to PyTorch in which one can make mistakes on purpose, to measure how well they are found and named.

`port` runs it; `layout` says what is where, `mistakes` what can be made, `places` where; `tape` and `order` are how the
port computes, `parts`, `attention`, `windows` and `bias` are the model, `backward` the wrong derivatives. All of it is
written from the paper and knows nothing of npswin; `check` alone holds the two against each other.
"""
