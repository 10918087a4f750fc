"""What is in a model, and what of it is not integer, or integer and wrong.

Named after what it does, since `fullint.audit` is the call.
"""
