"""Nova's machines for tests: each is a process of this machine that runs its user data.

A machine whose name has `no-boot` in it ends in the state ERROR.
"""
import base64
import os
import signal
import subprocess

from nova import exception
from nova.virt import fake

FOLDER = os.environ["OPENSTACK_FOLDER"]


class Machines(fake.FakeDriverWithoutFakeNodes):
    running = {}

    def spawn(self, context, instance, *args, **kwargs):
        if "no-boot" in instance.display_name:
            raise exception.BuildAbortException(
                instance_uuid=instance.uuid, reason="the test wants it so"
            )
        super().spawn(context, instance, *args, **kwargs)
        folder = os.path.join(FOLDER, "machines", instance.display_name)
        os.makedirs(folder, exist_ok=True)
        script = os.path.join(folder, "user-data")
        with open(script, "wb") as file:
            file.write(base64.b64decode(instance.user_data or b"IyEvYmluL3NoCg=="))
        os.chmod(script, 0o700)
        machine = os.path.join(os.path.dirname(os.path.abspath(__file__)), "machine")
        with open(os.path.join(folder, "console"), "ab") as console:
            self.running[instance.uuid] = subprocess.Popen(
                [machine, script],
                cwd=folder,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=dict(os.environ, MACHINE=folder, MACHINE_NAME=instance.display_name),
            )

    def destroy(self, context, instance, *args, **kwargs):
        process = self.running.pop(instance.uuid, None)
        if process:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        super().destroy(context, instance, *args, **kwargs)
