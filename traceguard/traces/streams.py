"""Long-lived streams: web sockets, subscriptions and watches, whose length is how long somebody stayed, not a latency.

An operation is a stream by its nature, never by one call: a SERVER or CLIENT operation of which nine calls in ten last
a minute or more, or which lasts so long at least once and says that it is a web socket (status 101, scheme ws or wss).
A request that hangs for a minute while others of its operation do not is no stream but the very thing to be found.

Requests that begin as a stream are left out with all that runs below them, and counted by name. A stream that a request
opened and that lives on long after it is set apart from that request, so that it does not swallow its critical path;
one that ended with its caller may have been waited for, and stays.
"""

LONG_NS = 60_000_000_000  # the shortest life of a long-lived stream
