"""The director: SimPy processes that carry out a scenario on any engine.

fleet.py       switches nodes on
workload.py    streams of tasks
dispatcher.py  who has which task, and what becomes of the tasks of the dead
schedule.py    when each fault strikes, and whom
injection.py   what faults may use of the run
trigger.py     `when:` an event of the trace has happened
master.py      the master under test, which can crash
probe_client.py    a client beside them: publishes, and reads what is retained at the end
"""

from dcompute_sim.director.processes import Director

__all__ = ["Director"]
