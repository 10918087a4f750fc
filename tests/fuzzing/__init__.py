"""A mutational fuzzer: damaged models, logs, samples and images through every command, each in a child process with limits."""
