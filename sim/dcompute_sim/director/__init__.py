"""The director: SimPy processes that carry out a scenario on any engine.

fleet.py       switches nodes on
workload.py    streams of tasks
executor_program.py  a program that has work done by an executor
bare_transport.py    one that sends tasks itself
schedule.py    when each fault strikes, and whom
injection.py   what faults may use of the run
trigger.py     `when:` an event of the trace has happened
master.py      the master under test, which can crash
probe_client.py    a client beside them: publishes, and reads what is retained at the end
"""

from dcompute_sim.director.processes import Director

__all__ = ["Director"]
