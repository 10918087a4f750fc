"""Whether a result is all integer and still accurate: the contract, the certificate, and acceptance."""
