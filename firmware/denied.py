# What a broker's access rules seem to forbid, in words. Loaded for that, and dropped again.

import sys


def tell(say, refused):
    # `refused`: a subscription. Else nothing is: MQTT has no word for a message that is dropped.
    say(
        "access rules? the broker refuses a subscription to this user"
        if refused
        else "access rules? the broker takes this node's status but does not give it back"
    )
    del sys.modules["denied"]
