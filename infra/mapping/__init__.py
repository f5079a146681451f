"""`txnwatch mapping`: what a mapping makes of a file or a topic, and a proposal of one."""
