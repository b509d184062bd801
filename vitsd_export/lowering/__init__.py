"""From the trained Keras model to the graph that is exported."""
