"""What is served: one file a resource, with its parameters, answers, examples, handlers and routes."""
