"""amqtt, corrected by subclassing (`server`, the embedded broker) and as it comes (`plain`, for tests).

What amqtt still does: packet classes, sessions, the authentication plugin interface, retained messages,
starting and ending. What is replaced, and which fault of amqtt 0.12.1 each replacement is for, stands at
the head of `framing`, `streams`, `outbox`, `subscriptions` and `broker`. `guard` watches every private name
leant on.
"""
