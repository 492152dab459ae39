"""One web page that shows a run: a saved trace, two of them side by side, or a run that is going on.

index.py        a trace, so that its state at any moment is there at once
shown_run.py    a run as the page asks for it: its pictures, moments, events, verdict
broker_panel.py what the broker held at a moment
compared.py     what is said of two of them
page_guard.py   who may ask
page_server.py  answers over HTTP and WebSocket
live_page.py    a run that goes on in another thread
pace.py         how fast it does, in virtual time
by_hand.py      faults by click in it, and the scenario that does the same
assets/         the page itself
"""
