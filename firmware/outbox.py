# What waits to be sent, in order, until the broker has acknowledged it.


class Outbox:
    # `control` holds greeting and statuses of this connection, `results` what has to survive connections.
    #
    # One message at a time is in flight. All calls are made with the link's `state` lock held.

    def __init__(self, hold_limit):
        self.control = []
        self.results = []
        self.dropped = 0
        self.sending = None
        self.packet_id = 0
        self.closes = 0  # by the broker, with the result in flight that is first now
        self.largest = 0  # bytes of a message that it has acknowledged
        self._hold_limit = hold_limit

    def add_status(self, message):
        # Send a status, before any result.
        control = self.control
        if control and control[-1][0] == message[0] and control[-1] is not self.sending:
            control[-1] = message  # of those that wait only the newest is true
        else:
            control.append(message)

    def add_result(self, message):
        # Send a result; when too many wait the oldest is dropped.
        results = self.results
        if len(results) >= self._hold_limit:
            results.pop(1 if results[0] is self.sending and len(results) > 1 else 0)
            self.dropped += 1
        results.append(message)

    def start_next(self):
        # The message to send now (then `packet_id` is to be set), or None.
        if self.sending:
            return None
        waiting = self.control or self.results
        self.sending = waiting[0] if waiting else None
        self.packet_id = 0
        return self.sending

    def acknowledged(self, packet_id):
        # The broker has the message in flight, if `packet_id` is its.
        if not self.sending or packet_id != self.packet_id:
            return
        for messages in (self.control, self.results):
            if messages and messages[0] is self.sending:
                messages.pop(0)
                if messages is self.results:
                    self.closes = 0
        self.largest = max(self.largest, len(self.sending[1]))
        self.sending = None

    def closed(self):
        # The broker has closed the connection, perhaps over the result in flight.
        if self.results and self.results[0] is self.sending:
            self.closes += 1

    def unreachable(self):
        # A try to connect has failed.
        self.closes = max(0, self.closes - 1)

    def set_aside(self, instead):
        # Send `instead` in place of the first result, or (None) nothing.
        self.closes = 0
        self.results[:1] = [instead] if instead else []

    def restart(self, greeting):
        # A new connection, which begins with `greeting`; a result in flight is sent again.
        self.control[:] = greeting
        self.sending = None
