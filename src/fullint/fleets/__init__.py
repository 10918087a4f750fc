"""Fleets: one command on many models, by a pool of processes, with finished work kept in a cache."""
