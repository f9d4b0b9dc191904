"""A workflow of three steps, with requirements, a retry and a gather. Run by workflow.rs.

usage: workflow.py FOLDER
"""

import sys

from scitq.workflow import Workflow

folder = sys.argv[1]
# Nobody recruits here: the workers are there already.
flow = Workflow(name="flow", max_step_workers=0, shell=True, retry=1)
# It waits 150 s otherwise before it asks again a server that was away.
flow.server.get_timeout = 1
seconds = []
for name in "abc":
    first = flow.step(
        batch="first", name=f"first {name}", concurrency=1, flavor="any",
        # Fails at the first try.
        command=f'if mkdir {folder}/tried-{name}; then exit 1; fi; echo "{name}" > $OUTPUT/{name}.txt',
        output=f"file://{folder}/first/{name}/")
    second = flow.step(
        batch="second", name=f"second {name}", concurrency=1, flavor="any",
        command=f'touch {folder}/second-runs; while [ ! -e {folder}/go ]; do sleep 0.1; done; '
                f'for f in $INPUT/*.txt; do sed "s/$/ A/" $f > $OUTPUT/$(basename $f); done',
        required_tasks=first.task_id, input=f"{first.output}{name}.txt",
        output=f"file://{folder}/second/{name}/")
    seconds.append(second)
last = flow.step(
    batch="last", name="last", concurrency=1, flavor="any",
    command="cat $INPUT/*.txt > $OUTPUT/all.txt",
    required_tasks=second.gather(),
    input=[f"{one.output}{name}.txt" for one, name in zip(seconds, "abc")],
    output=f"file://{folder}/last/")
assert sorted(last.required_task_ids) == sorted(one.task_id for one in seconds)
flow.run(refresh=1)
flow.clean(log_destination=f"{folder}/logs")
