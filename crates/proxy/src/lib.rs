//! One request, top to bottom: read, route, plugins, balance, forward, answer.
