"""The parts of the OpenStack for tests that are Python; see `start`, which calls this.

usage: service.py ports N | settings FOLDER | wait PORT… | nova-databases
                | keystone PORT | placement PORT | glance PORT | neutron PORT | nova PORT
                | catalogue COMPUTE PLACEMENT IMAGE NETWORK | things | host
"""
import importlib
import os
import socket
import sys
import time
import warnings

warnings.simplefilter("ignore")
REGION = "NORTH"


def ports(count):
    """Free ports; all are held until all are known."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(count))]
    print(*(one.getsockname()[1] for one in held))


def settings(folder):
    """Splits the text of all settings into files, and puts the credentials where they belong."""
    file = None
    for line in sys.stdin:
        if line.startswith("=== "):
            file = open(os.path.join(folder, line[4:].strip()), "w")
        elif line.startswith("@credentials "):
            section = line.split()[1]
            file.write(
                f"[{section}]\nauth_type=password\nauth_url={os.environ['OS_AUTH_URL']}\n"
                "username=admin\npassword=sesame-of-the-cloud\nproject_name=admin\n"
                f"user_domain_name=Default\nproject_domain_name=Default\nregion_name={REGION}\n"
            )
        elif file:
            file.write(line)


def wait(*ports):
    end = time.monotonic() + 240
    for port in ports:
        while True:
            try:
                socket.create_connection(("127.0.0.1", int(port)), 5).close()
                break
            except OSError:
                if time.monotonic() > end:
                    sys.exit(f"nothing listens on port {port}")
                time.sleep(0.1)


def host():
    """Waits until Nova has heard of its host: what is known from the template is too old."""
    import openstack

    compute = openstack.connect().compute
    end = time.monotonic() + 120
    while not any(s.state == "up" for s in compute.services(binary="nova-compute")):
        if time.monotonic() > end:
            sys.exit("Nova does not hear of its host")
        time.sleep(0.2)


def nova_databases():
    from nova import config, objects
    from nova.cmd import manage
    import nova.conf

    file = os.path.join(os.environ["OPENSTACK_FOLDER"], "etc/nova/nova.conf")
    config.parse_args(["nova-manage"], default_config_files=[file])
    objects.register_all()
    connection = nova.conf.CONF.database.connection
    manage.ApiDbCommands().sync()
    cells = manage.CellV2Commands()
    cells.map_cell0(database_connection=connection.replace("/nova?", "/nova_cell0?"))
    manage.DbCommands().sync()
    cells.create_cell(name="cell1", verbose=True)


def serve(application, port, threads=8):
    from waitress import serve as listen

    listen(application, host="127.0.0.1", port=int(port), threads=threads)


def application_of(module):
    # Its own reader of options shall not see ours.
    sys.argv = [module]
    return importlib.import_module(module).application


def keystone(port):
    serve(application_of("keystone.wsgi.api"), port)


def placement(port):
    serve(application_of("placement.wsgi.api"), port, threads=1)


def glance(port):
    serve(application_of("glance.wsgi.api"), port)


def neutron(port):
    # No agent plugs the ports in: the driver that Neutron has for its own tests says of each
    # that it is plugged in.
    from neutron.tests.unit.plugins.ml2.drivers.mechanism_test import TestMechanismDriver
    from neutron_lib.api.definitions import portbindings

    for verb in ("create", "update", "delete"):
        for noun in ("network", "subnet", "port"):
            for moment in ("precommit", "postcommit"):
                setattr(TestMechanismDriver, f"{verb}_{noun}_{moment}", lambda self, context: None)

    def bind(self, context):
        segment = context.segments_to_bind[0]["id"]
        details = {portbindings.CAP_PORT_FILTER: True}
        context.set_binding(segment, portbindings.VIF_TYPE_OVS, details, status="ACTIVE")

    TestMechanismDriver.bind_port = bind
    serve(application_of("neutron.wsgi.api"), port)


def nova(port):
    """API, conductor, scheduler and compute in one process: then no message broker is needed."""
    application = application_of("nova.wsgi.osapi_compute")
    import machines
    import nova.virt
    from nova import context, service
    from nova.objects import host_mapping

    sys.modules["nova.virt.machines"] = nova.virt.machines = machines
    for name in ("nova-conductor", "nova-scheduler", "nova-compute"):
        service.Service.create(binary=name).start()
    host_mapping.discover_hosts(context.get_admin_context())
    serve(application, port)


def catalogue(compute, placement, image, network):
    import openstack

    identity = openstack.connect().identity
    for name, kind, url in [
        ("nova", "compute", f"http://127.0.0.1:{compute}/v2.1"),
        ("placement", "placement", f"http://127.0.0.1:{placement}"),
        ("glance", "image", f"http://127.0.0.1:{image}"),
        ("neutron", "network", f"http://127.0.0.1:{network}"),
    ]:
        service = identity.create_service(name=name, type=kind)
        for interface in ("public", "internal", "admin"):
            identity.create_endpoint(
                service_id=service.id, interface=interface, url=url, region_id=REGION
            )
    # Nova's requests to Neutron are refused without it.
    role = identity.find_role("service") or identity.create_role(name="service")
    identity.assign_project_role_to_user(
        identity.find_project("admin"), identity.find_user("admin"), role
    )


def things():
    """What a customer finds there: kinds of machines, an image, a network."""
    import openstack

    cloud = openstack.connect()
    for name, cores, memory, disk in [
        ("b2-7", 2, 7000, 50),
        ("c2-15", 4, 15000, 100),
        ("r2-30", 2, 30000, 50),
        ("t1-45", 8, 45000, 400),
        ("huge", 5000, 1024, 10),
    ]:
        flavor = cloud.compute.create_flavor(name=name, vcpus=cores, ram=memory, disk=disk)
        if name == "t1-45":
            cloud.compute.create_flavor_extra_specs(flavor, {"pci_passthrough:alias": "v100:1"})
    cloud.create_image(
        "Ubuntu 24.04",
        filename="/etc/hostname",
        disk_format="raw",
        container_format="bare",
        visibility="public",
        wait=True,
    )
    network = cloud.network.create_network(
        name="Ext-Net",
        is_shared=True,
        provider_network_type="flat",
        provider_physical_network="public",
    )
    cloud.network.create_subnet(
        network_id=network.id, name="ext", ip_version=4, cidr="198.51.100.0/24", is_dhcp_enabled=False
    )


if __name__ == "__main__":
    # The folder of this file holds the driver that Nova loads.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
