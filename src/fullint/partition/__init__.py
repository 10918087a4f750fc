"""How a delegate would cut a graph: acceptance tables, and the runtime's own algorithm."""
