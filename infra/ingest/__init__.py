"""Records of any topics, mapped to transactions and put on the input topic exactly once."""
