"""How fast the commands are: `make bench`, or `make bench PARTS="live list"`.

Absolute times shift with the machine, ratios within one run hardly do. So each command is timed as a
whole process, in turn with what it is held against (A B A B …), and a row shows the smallest, the
middle and the largest of the pairs' ratios beside its target. Nothing here fails a test.
"""
