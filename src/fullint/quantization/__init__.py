"""The main job: a float model in, an all-integer model out, or the reason why not."""
