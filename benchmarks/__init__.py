"""The measurements: ours beside the peers', in one run, on the same broker, topic and cores."""
