"""What a delegate, a compiler or a small runtime takes of a model: by its own software where that can be had, else by tables."""
