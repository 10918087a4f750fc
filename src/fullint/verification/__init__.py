"""Is it all integer, and does it still work: the contract, the certificate, what is accepted and why not."""
