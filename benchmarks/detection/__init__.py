"""A port of Swin to PyTorch in which one can make mistakes on purpose, to measure how well they are found and named.

`port` runs it; `layout` says what is where, `mistakes` what can be made, `places`, `sites` and `conditions` where;
`tape` and `order` are how the port computes, `patches`, `parts`, `gates`, `attention`, `shift`, `windows` and `bias`
the model, `backward` the wrong derivatives. All of it is written from the paper and knows nothing of npswin; `check`
alone holds the two against each other, and `names` has the words of npswin's catalogue for the mistakes.
"""
