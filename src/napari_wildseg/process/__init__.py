"""The engine in a process of its own, for the window: messages, the child (server), the client."""
