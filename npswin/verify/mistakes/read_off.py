"""The mistakes that are read off a tensor of the port, where the inputs of its operation are known."""

from npswin.verify.mistakes.added_for_all import fit_added_for_all
from npswin.verify.mistakes.bias_index import fit_bias_index
from npswin.verify.mistakes.blended_modules import fit_blends, fit_multiples
from npswin.verify.mistakes.buffers import fit_buffers
from npswin.verify.mistakes.combined_inputs import fit_inputs
from npswin.verify.mistakes.copied import fit_copies, fit_moved_part
from npswin.verify.mistakes.fitted_gelu import fit_gelu
from npswin.verify.mistakes.fitted_inputs import fit_input, fit_moved_input
from npswin.verify.mistakes.fitted_norm import fit_norm
from npswin.verify.mistakes.fitted_parameters import fit_parameters
from npswin.verify.mistakes.fitted_softmax import fit_softmax
from npswin.verify.mistakes.fitted_tensors import fit_output
from npswin.verify.mistakes.fitted_terms import fit_terms
from npswin.verify.mistakes.folded_norms import fit_folded_norm
from npswin.verify.mistakes.folded_parameters import fit_bare_norm, fit_shifted_input
from npswin.verify.mistakes.gated import fit_gate
from npswin.verify.mistakes.lost_terms import fit_lost_terms
from npswin.verify.mistakes.merged_tokens import fit_merging
from npswin.verify.mistakes.moved_addends import fit_addends
from npswin.verify.mistakes.moved_slices import fit_columns, fit_slices
from npswin.verify.mistakes.moved_tokens import fit_moved_tokens
from npswin.verify.mistakes.norm_layouts import fit_norm_layout
from npswin.verify.mistakes.norm_statistics import fit_norm_statistics
from npswin.verify.mistakes.not_loaded import fit_not_loaded
from npswin.verify.mistakes.other_terms import fit_other_terms
from npswin.verify.mistakes.overwritten import fit_overwritten
from npswin.verify.mistakes.partial_sums import fit_partial_sums
from npswin.verify.mistakes.pixels import fit_pixels
from npswin.verify.mistakes.restored_norms import fit_restored_norms
from npswin.verify.mistakes.sampled_patches import fit_patches
from npswin.verify.mistakes.shifted_tokens import fit_shifted_tokens
from npswin.verify.mistakes.summed_parts import fit_summed_parts
from npswin.verify.mistakes.table_rows import fit_table_rows, fit_table_rule
from npswin.verify.mistakes.tiled_context import fit_tiles
from npswin.verify.mistakes.tiled_sums import fit_tiled_sums
from npswin.verify.mistakes.told_by_gradient import fit_by_gradient
from npswin.verify.mistakes.weighted_pool import fit_pool
from npswin.verify.mistakes.weighted_shares import fit_weighted_shares

# Fits of a function of the operation's input, the same wherever the operation is: name, description, fit.
FUNCTION_FITS = (
    ("fitted-norm", "layer normalization takes other statistics", fit_norm),
    ("fitted-activation", "GELU is another function", fit_gelu),
    ("fitted-softmax", "the probabilities are another function of the scores", fit_softmax),
)

# Other parameters, inputs, statistics and numbers, the simplest first: name, what is described, fit.
TENSOR_FITS = (
    ("prepared-images", "pixels are prepared in another way", fit_pixels),
    ("multiplied-parameters", "other parameters", fit_multiples),
    ("blended-parameters", "other parameters", fit_blends),
    ("table-rule", "{tensor}: another index into the table", fit_table_rule),
    ("shifted-tokens", "{tensor}: it reads another input", fit_shifted_tokens),
    ("folded-norm", "{tensor}: it reads another input", fit_folded_norm),
    ("partial-sums", "{tensor}", fit_partial_sums),
    ("fitted-parameters", "other parameters", fit_parameters),
    ("not-loaded", "{tensor} has another weight", fit_not_loaded),
    ("bare-norm", "{tensor}", fit_bare_norm),
    ("shifted-input", "{tensor}: it reads another input", fit_shifted_input),
    ("fitted-rows", "{tensor}: another index into the table", fit_table_rows),
    ("merged-tokens", "{tensor} has other tokens", fit_merging),
    ("moved-columns", "{tensor}", fit_columns),
    ("moved-addends", "{tensor}", fit_addends),
    ("moved-slices", "{tensor} has a factor of another place", fit_slices),
    ("moved-tokens", "{tensor} has a factor of another place", fit_moved_tokens),
    ("tiled-context", "{tensor}", fit_tiles),
    ("fitted-terms", "{tensor}", fit_terms),
    ("bias-index", "{tensor}", fit_bias_index),
    ("fitted-input", "{tensor}: it reads another input", fit_input),
    ("copied", "{symptom}", fit_copies),
    ("fitted-output", "{symptom}", fit_output),
    ("moved-part", "{symptom}", fit_moved_part),
    ("moved-input", "{symptom}", fit_moved_input),
    ("gated-halves", "{tensor}", fit_gate),
    ("sampled-patches", "{tensor} has other pixels in its patches", fit_patches),
    ("weighted-pool", "{tensor} is another pool", fit_pool),
    ("norm-statistics", "{tensor} has other statistics", fit_norm_statistics),
    ("norm-layout", "{tensor} has the mean and deviation of other numbers", fit_norm_layout),
    ("added-for-all", "{tensor} reads other numbers", fit_added_for_all),
    ("combined-inputs", "{tensor} reads other numbers", fit_inputs),
)

# Where none of these explains a tensor: what the gradients by its inputs tell.
GRADIENT_FITS = (("told-by-gradient", "{tensor} reads a changed input", fit_by_gradient),)

# Other derivatives: name, fit.
DERIVATIVE_FITS = (
    ("other-terms", fit_other_terms),
    ("summed-part", fit_summed_parts),
    ("overwritten", fit_overwritten),
    ("buffer", fit_buffers),
    ("lost-terms", fit_lost_terms),
    ("weighted-shares", fit_weighted_shares),
    ("restored-norm", fit_restored_norms),
    ("tiled-sum", fit_tiled_sums),
)
