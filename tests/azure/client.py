"""The official client looks at the Azure that the tests make.

usage: client.py URL GROUP MACHINE

It reads the flavors and the machine that our head has made, makes one of its own from the
same parts, is refused one, and deletes its own. What it saw goes out as JSON.
"""
import json
import sys
import time

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.mgmt.compute import ComputeManagementClient

url, group, name = sys.argv[1:4]


class Principal:
    def get_token(self, *scopes, **options):
        return AccessToken(TOKEN, int(time.time()) + 3600)


class WithToken(SansIOHTTPPolicy):
    """Its own policy sends no token over a connection that is not encrypted."""

    def on_request(self, request):
        request.http_request.headers["Authorization"] = f"Bearer {TOKEN}"


TOKEN = sys.stdin.readline().strip()
client = ComputeManagementClient(
    Principal(),
    "subscription-1",
    base_url=url,
    authentication_policy=WithToken(),
    polling_interval=0,
)
skus = list(client.resource_skus.list(filter="location eq 'francecentral'"))
machine = client.virtual_machines.get(group, name, expand="instanceView")
spec = {
    "location": machine.location,
    "properties": {
        "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
        "priority": "Spot",
        "evictionPolicy": "Delete",
        "billingProfile": {"maxPrice": -1},
        "storageProfile": {
            "imageReference": machine.storage_profile.image_reference.as_dict(),
            "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
        },
        "osProfile": {
            "computerName": "other",
            "adminUsername": "scitq",
            "linuxConfiguration": machine.os_profile.linux_configuration.as_dict(),
        },
        "networkProfile": {
            "networkInterfaces": [{"id": machine.network_profile.network_interfaces[0].id}]
        },
    },
}
made = client.virtual_machines.begin_create_or_update(group, "other", spec).result()
try:
    client.virtual_machines.begin_create_or_update(group, "other", spec).result()
    refused = None
except HttpResponseError as error:
    refused = error.error.code
client.virtual_machines.begin_delete(group, "other").result()
print(
    json.dumps(
        {
            "skus": sorted(sku.name for sku in skus if sku.resource_type == "virtualMachines"),
            "size": machine.hardware_profile.vm_size,
            "priority": machine.priority,
            "state": machine.provisioning_state,
            "power": [status.code for status in machine.instance_view.statuses],
            "tags": machine.tags,
            "made": made.provisioning_state,
            "refused": refused,
        }
    )
)
