"""Parts of `tests.tools.fuzz_files`: mutated files, and the functions that read them."""
