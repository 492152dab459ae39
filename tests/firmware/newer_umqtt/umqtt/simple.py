# mypy: ignore-errors
# The signatures of umqtt.simple 1.8.0 (an SSLContext, a time limit for connecting, unsubscribe), and nothing
# behind them: the firmware may take the attributes and the setters from it, and no more.


class MQTTException(Exception):
    pass


class MQTTClient:
    def __init__(
        self,
        client_id,
        server,
        port=0,
        user=None,
        password=None,
        keepalive=0,
        ssl=None,
        ssl_params={},  # noqa: B006 (as it is there)
    ):
        self.client_id = client_id
        self.sock = None
        self.server = server
        self.port = port or (8883 if ssl else 1883)
        self.ssl = ssl
        self.ssl_params = ssl_params
        self.pid = 0
        self.cb = None
        self.user = user
        self.pswd = password
        self.keepalive = keepalive
        self.lw_topic = None
        self.lw_msg = None
        self.lw_qos = 0
        self.lw_retain = False

    def set_callback(self, f):
        self.cb = f

    def set_last_will(self, topic, msg, retain=False, qos=0):
        self.lw_topic = topic
        self.lw_msg = msg
        self.lw_qos = qos
        self.lw_retain = retain

    def connect(self, clean_session=True, timeout=None):
        raise NotImplementedError

    def disconnect(self):
        raise NotImplementedError

    def ping(self):
        raise NotImplementedError

    def publish(self, topic, msg, retain=False, qos=0):
        raise NotImplementedError

    def subscribe(self, topic, qos=0):
        raise NotImplementedError

    def unsubscribe(self, topic):
        raise NotImplementedError

    def wait_msg(self):
        raise NotImplementedError

    def check_msg(self):
        raise NotImplementedError
