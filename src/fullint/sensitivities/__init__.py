"""`sensitivity`: what each operator, layer or block costs in accuracy, and what leaving it in float or int16 would give back."""
