"""The rules as AWS computes them, window by window, with the defects of that arithmetic.

For numbers that can be held beside an AWS report of the same files. Two defects of AWS's runner
are not among them: here the last, partial minute counts, and what lies on the border of two
windows counts once. Written anew from a description of the formulas; no code of AWS is here.

Source: smdebug 1.0.34's profiler rules.
"""
