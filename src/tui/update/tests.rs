//! What keys and messages do, without a terminal and without a server.

