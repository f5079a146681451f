"""Rules as data: the language of conditions, sets of rules, and what can be wrong with either. No I/O."""
