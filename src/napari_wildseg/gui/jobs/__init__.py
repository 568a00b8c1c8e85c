"""Jobs beside the GUI thread: the thread that runs them and the calls of the engine."""
