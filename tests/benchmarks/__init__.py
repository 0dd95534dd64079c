"""The benchmarks run, with tiny sizes; their figures are not judged here."""
