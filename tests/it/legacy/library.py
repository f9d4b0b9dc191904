"""Each call of scitq.lib.Server, in one style. Run by library.rs.

usage: library.py STYLE sync|async
There is a worker of batch `lib` that runs what it is given.
"""

import sys
import time
from datetime import datetime

from scitq.lib import HTTPException, Server

style, mode = sys.argv[1], sys.argv[2]
is_async = mode == "async"
server = Server(style=style, asynchronous=is_async, get_timeout=60)
batch = "lib"


def field(thing, name):
    return thing[name] if style == "dict" else getattr(thing, name)


def listed(things):
    return list(things)


def until(what, probe):
    deadline = time.time() + 60
    while time.time() < deadline:
        answer = probe()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited 60 s for {what}")


def refused(status, call):
    try:
        call()
    except HTTPException as error:
        assert error.status_code == status, error
        assert error.message, error
        return error.message
    raise AssertionError("was not refused")


# Tasks
task = server.task_create("echo hello", name="greeting", batch=batch, retry=1, asynchronous=is_async)
id = field(task, "task_id")
assert field(task, "command") == "echo hello" and field(task, "retry") == 1
assert field(task, "required_task_ids") == [] and field(task, "container_options") == ""
assert isinstance(field(task, "creation_date"), datetime)
after = server.task_create("cat", batch=batch, shell=True, required_task_ids=[id],
                           input=["file:///etc/hostname", "file:///etc/hosts"])
assert field(after, "required_task_ids") == [id]
assert field(after, "input") == "file:///etc/hostname file:///etc/hosts"
assert field(after, "command") == "sh -c 'cat'"
until("success", lambda: server.task_status([id]) == ["succeeded"])
assert field(server.task_get(id), "status") == "succeeded"
names = [field(one, "task_id") for one in listed(server.tasks(name="greeting", batch=batch))]
assert id in names
two = [field(one, "task_id") for one in listed(server.tasks(task_id=[id, field(after, "task_id")]))]
assert two == [id, field(after, "task_id")]
assert listed(server.tasks(status="failed", batch="nothing")) == []
assert server.task_status([id, id]) == ["succeeded", "succeeded"]

held = server.task_create("true", batch="elsewhere", status="paused")
held_id = field(held, "task_id")
assert field(held, "status") == "paused"
changed = server.task_update(held_id, command="echo changed", name="held", batch="elsewhere too",
                             output="file:///nowhere/out", retry=3, run_timeout=60,
                             download_timeout=50, resource=["file:///etc/hosts"],
                             container="alpine", container_options="-w /tmp", use_cache=False)
assert field(changed, "command") == "echo changed" and field(changed, "batch") == "elsewhere too"
assert field(changed, "output") == "file:///nowhere/out/" and field(changed, "retry") == 3
assert field(changed, "run_timeout") == 60 and field(changed, "resource") == "file:///etc/hosts"
assert field(changed, "container_options") == "-w /tmp"
assert field(server.task_update(held_id, status="pending"), "status") == "pending"
assert field(server.task_update(held_id, status="failed"), "status") == "failed"
assert field(server.task_update(held_id, status="pending"), "status") == "pending"
assert field(server.task_update(held_id, required_task_ids=[id]), "required_task_ids") == [id]
assert "not possible" in refused(400, lambda: server.task_update(held_id, status="bogus"))
assert field(server.task_delete(held_id), "task_id") == held_id
assert str(held_id) in refused(404, lambda: server.task_get(held_id))

# Executions
execution = listed(server.executions(task_id=id, latest=True))[0]
execution_id = field(execution, "execution_id")
assert field(execution, "status") == "succeeded" and field(execution, "return_code") == 0
assert field(execution, "output") == "hello\n" and field(execution, "error") is None
assert field(server.execution_get(execution_id), "task_id") == id
flows = server.execution_output(execution_id, output=True, error=False, output_position=3)
assert field(flows, "output") == "llo\n"
assert field(server.execution_output(execution_id), "error") is None
short = listed(server.executions(batch=batch, reverse=True, limit=1, trunc=3))
assert len(short) == 1
without = listed(server.executions(task_name="greeting", batch=batch, no_output=True))
assert field(without[0], "output") is None
assert field(server.execution_output_write(execution_id, "late"), "result") == "Ok"
assert field(server.execution_error_write(execution_id, "late"), "result") == "Ok"
assert field(server.execution_get(execution_id), "output") == "hello\n"
refused(409, lambda: server.execution_update(execution_id, status="running"))
assert field(server.execution_update(execution_id, status="succeeded"), "status") == "succeeded"

# Workers
worker = server.worker_create(f"made-{style}-{mode}", 2, hostname="there", status="running",
                              batch="made", prefetch=1, flavor="small")
worker_id = field(worker, "worker_id")
assert field(worker, "prefetch") == 1 and field(worker, "permanent") is True
assert field(worker, "task_properties") == "{}" and field(worker, "flavor") == "small"
pinged = server.worker_ping(worker_id, load="12.5↑ / 1.5", memory="40.5", stats="{}")
assert field(pinged, "memory") == 40.5 and field(pinged, "load") == "12.5 / 1.5"
assert isinstance(field(pinged, "last_contact_date"), datetime)
assert field(pinged, "status") == "running"
assert field(server.worker_get(worker_id), "name") == f"made-{style}-{mode}"
assert [field(one, "worker_id") for one in listed(server.workers(batch="made"))] == [worker_id]
updated = server.worker_update(worker_id, concurrency="3", prefetch=0, flavor="large", batch="made")
assert field(updated, "concurrency") == 3 and field(updated, "flavor") == "large"
assert field(server.worker_callback(worker_id, "idle"), "result") == "ok"

# An execution as a worker has it, from its start to its end
for_worker = server.task_create("sleep 1000", batch="by hand")
for_id = field(for_worker, "task_id")
made = server.execution_create(worker_id, for_id)
made_id = field(made, "execution_id")
assert field(made, "status") == "pending" and field(made, "latest") is True
pending = listed(server.worker_executions(worker_id, status="pending"))
assert [field(one, "execution_id") for one in pending] == [made_id]
assert field(pending[0], "taskstatus") == "assigned" and field(pending[0], "batch") == "by hand"
assert listed(server.worker_executions(worker_id)) == []
assert field(server.execution_update(made_id, status="accepted"), "status") == "accepted"
assert field(server.task_freeze(for_id, made_id), "command") == "sleep 1000"
started = server.execution_update(made_id, status="running", pid=4711)
assert field(started, "pid") == "4711" and server.task_status([for_id]) == ["running"]
assert len(listed(server.worker_executions(worker_id))) == 1
server.execution_output_write(made_id, "é1\n")
server.execution_output_write(made_id, "2\n")
server.execution_error_write(made_id, "no")
assert field(server.execution_output(made_id, output_position=2), "output") == "1\n2\n"
server.worker_create_signal(worker_id, made_id, 10)
server.worker_create_signal(worker_id, None, -1)
signals = until("the signals", lambda: listed(server.worker_signals(worker_id)))
signals += listed(server.worker_signals(worker_id))
told = [(field(one, "execution_id"), field(one, "signal")) for one in signals]
assert told == [(made_id, 10), (None, -1)], told
assert listed(server.worker_signals(worker_id)) == []
counts = [(field(one, "worker_id"), field(one, "status"), field(one, "count"))
          for one in listed(server.workers_tasks())]
assert (worker_id, "running", 1) in counts, counts
ended = server.execution_update(made_id, status="succeeded", return_code=0, output_files="a b/c")
assert field(ended, "output") == "é1\n2\n" and field(ended, "output_files") == "a b/c"
assert server.task_status([for_id]) == ["succeeded"]
server.worker_delete(worker_id)
until("the worker to go", lambda: not listed(server.workers(name=f"made-{style}-{mode}")))
refused(404, lambda: server.worker_ping(worker_id, load="", memory=1.0, stats="{}"))

# Batches
assert batch in [field(one, "batch") for one in listed(server.batches())]
assert field(server.batch_stop(batch), "result") == "Ok"
stopped = server.task_create("true", batch=batch)
assert field(stopped, "status") == "pending"
assert field(server.batch_go(batch), "result") == "Ok"
until("it to go on", lambda: server.task_status([field(stopped, "task_id")]) == ["succeeded"])
assert field(server.batch_delete("elsewhere too"), "result") == "Ok"
assert field(server.batch_delete("never there"), "result") == "Ok"

# Recruiting
assert listed(server.recruiters(batch=batch)) == []
assert listed(server.recruiters_match(batch=batch)) == []
assert listed(server.flavors()) == []
made = server.recruiter_create(batch, 1, 1, "auto:cpu>=1000", 1)
assert field(made, "worker_flavor") == "auto:cpu>=1000" and field(made, "worker_region") is None
assert [field(one, "rank") for one in listed(server.recruiters(batch=batch))] == [1]
assert listed(server.recruiters_match(batch=batch)) == []
assert field(server.recruiter_update(batch, 1, tasks_per_worker=2), "tasks_per_worker") == 2
assert "set up" in refused(409, lambda: server.worker_deploy(1, batch, "here", "small", 1, "any"))
server.recruiter_delete(batch, 1)
refused(404, lambda: server.recruiter_update(batch, 1, tasks_per_worker=2))
refused(404, lambda: server.recruiter_delete(batch, 1))

# What a site sets
assert server.config_remote() == "file:///shared/"
refused(404, server.config_rclone)

# Waiting
tasks = [server.task_create("true", batch=batch), server.task_create("true", batch=batch)]
assert server.join(tasks, check=True)["succeeded"] == 2

print("all of it")
