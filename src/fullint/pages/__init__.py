"""Reports with pictures of their models: what `--html` and `--json --details` add, and `fullint report` joins."""
