"""`audit` and `inspect`: what a model contains, and which operators are not integer, or integer but wrong.

The package is called `auditing` because `fullint.audit` is the function.
"""
