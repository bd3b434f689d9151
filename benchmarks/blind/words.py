"""Words by which a diagnosis describes mistakes that several themes have, as regular expressions."""

FACTOR = r"factor|multipl|divided|scal|times"
NO_BIAS = r"bias.*(missing|not|left out)|(no|without|missing).*bias"
SKIPPED = r"skip|missing|left out|not appl|identity|unchanged|its input|copied|\b(no|without) "
SAME_MEMORY = r"memory.*read as|reshape|view|without.*(transpos|permut|exchang)|consecutive|in a row"
ZEROS = r"zero|missing|never|not (computed|written)|detach|frozen|stop"
FOLLOWED = r"order|permut|exchang|swap|interleav|shift|roll|revers"
NO_SHORTCUT = r"shortcut|residual.*(missing|left out|not)|only the branch|its input"
