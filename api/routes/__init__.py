"""What is served: parameters, answers and handlers of each resource."""
