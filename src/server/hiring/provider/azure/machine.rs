//! Making, watching and ending a machine with all that belongs to it: its resource group.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::try_join;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::error::{of_operation, of_reply};
use super::gpu;
use super::session::Api;
use super::settings::{Image, Priority};
use super::source::Azure;
use crate::domain::flavor::RegionName;
use crate::server::hiring::provider::wire::{escaped, go_on, pause};
use crate::server::hiring::provider::{
    ErrorClass, HeadTag, Hired, Journal, MachineId, MachineStatus, Order, ProviderError,
};

/// What Azure takes as custom data, encoded.
const MOST_CUSTOM_DATA: usize = 87_380;

/// The same for all machines, since each has a network of its own.
const NETWORK: &str = "10.0.0.0/16";
const SUBNET: &str = "10.0.1.0/24";

/// The paths of what belongs to one machine.
struct Places {
    name: String,
    group: String,
    rules: String,
    network: String,
    subnet: String,
    address: String,
    interface: String,
    machine: String,
}

impl Azure {
    pub(super) async fn make(
        &self,
        order: &Order,
        journal: &dyn Journal,
    ) -> Result<MachineId, ProviderError> {
        let places = self.places(&order.worker, &order.tag)?;
        let id = MachineId(places.name.clone());
        // What is wrong with these is told before anything is made.
        let custom_data = self.custom_data(order)?;
        let key = self.public_key().await?;
        go_on(journal)?;
        self.make_group(order, &places, journal).await?;
        journal.progress(10);
        if self.find_again(&places, journal).await? {
            journal.progress(100);
            return Ok(id);
        }
        self.make_surroundings(order, &places, journal).await?;
        go_on(journal)?;
        journal.progress(50);
        let machine = self.machine_body(order, &places, &custom_data, &key);
        journal.line(&format!("ordering a {} in {}", order.flavor.as_str(), order.region));
        let (api, patience) = (Api::Machines, self.patience());
        self.session.put(api, &places.machine, &machine, patience, journal).await?;
        journal.line("the machine runs");
        journal.progress(100);
        Ok(id)
    }

    pub(super) async fn status_of(&self, hired: &Hired) -> Result<MachineStatus, ProviderError> {
        let places = self.places(&hired.worker, &hired.tag)?;
        let query = "&$expand=instanceView";
        let Some(found) = self.session.find(Api::Machines, &places.machine, query).await? else {
            let group = self.session.find(Api::Groups, &places.group, "").await?;
            return Ok(match group {
                None => MachineStatus::Gone,
                Some(group) if state_of(&group) == "Deleting" => {
                    MachineStatus::Failed("it is being deleted".to_owned())
                }
                // Azure deletes a machine that it takes away, and leaves the rest.
                Some(_) if hired.machine.is_some() => MachineStatus::Evicted,
                Some(_) => MachineStatus::Building,
            });
        };
        if state_of(&found) == "Failed" {
            return Ok(MachineStatus::Failed(failure_of(&found)));
        }
        Ok(match power_of(&found) {
            "running" => {
                let address = self.session.find(Api::Network, &places.address, "").await?;
                let address = address.as_ref().and_then(|address| {
                    address.pointer("/properties/ipAddress").and_then(Value::as_str)
                });
                MachineStatus::Running {
                    addresses: address.iter().map(ToString::to_string).collect(),
                }
            }
            "deallocated" | "deallocating" => MachineStatus::Evicted,
            "stopped" | "stopping" => MachineStatus::Failed("it was switched off".to_owned()),
            _ => MachineStatus::Building,
        })
    }

    pub(super) async fn end(
        &self,
        hired: &Hired,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let places = self.places(&hired.worker, &hired.tag)?;
        let Some(group) = self.session.find(Api::Groups, &places.group, "").await? else {
            journal.line("the machine is gone");
            return Ok(());
        };
        check_owner(&group, &places, &hired.tag)?;
        // Without waiting for the machine to shut down.
        let query = "&forceDeletionTypes=Microsoft.Compute/virtualMachines";
        let reply =
            self.session.send(Api::Groups, Method::DELETE, &places.group, query, None).await?;
        if reply.status != StatusCode::NOT_FOUND {
            if !reply.status.is_success() {
                return Err(of_reply(&reply));
            }
            journal.line(&format!("the resource group {} is being deleted", places.name));
            journal.progress(20);
            self.session.await_end(reply, self.patience(), journal).await?;
        }
        if self.session.find(Api::Groups, &places.group, "").await?.is_some() {
            let message = format!(
                "the resource group `{}` is still there after its deletion, and may still cost",
                places.name
            );
            return Err(ProviderError::new(ErrorClass::Transient, message));
        }
        journal.line("the machine is gone");
        journal.progress(100);
        Ok(())
    }

    /// All groups with the tag of this head.
    pub(super) async fn all_of(&self, tag: &HeadTag) -> Result<Vec<Hired>, ProviderError> {
        let filter = format!("tagName eq '{}' and tagValue eq '{tag}'", HeadTag::LABEL);
        let query = format!("&$filter={}", escaped(&filter));
        let path = self.session.path("/resourcegroups")?;
        let mut all = Vec::new();
        for group in self.session.pages(Api::Groups, &path, &query).await? {
            let text = |pointer: &str| group.pointer(pointer).and_then(Value::as_str);
            let label = |name: &str| text(&format!("/tags/{name}"));
            if label(HeadTag::LABEL) != Some(&*tag.0) {
                continue;
            }
            let (Some(worker), Some(region), Some(name)) =
                (label(HeadTag::WORKER_LABEL), text("/location"), text("/name"))
            else {
                continue;
            };
            all.push(Hired {
                worker: worker.into(),
                tag: tag.clone(),
                region: RegionName::new(region),
                machine: Some(MachineId(name.to_owned())),
            });
        }
        Ok(all)
    }

    async fn make_group(
        &self,
        order: &Order,
        places: &Places,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        if let Some(group) = self.session.find(Api::Groups, &places.group, "").await? {
            check_owner(&group, places, &order.tag)?;
            if state_of(&group) == "Deleting" {
                let message =
                    format!("the resource group `{}` is still being deleted", places.name);
                return Err(ProviderError::new(ErrorClass::Transient, message));
            }
            return Ok(());
        }
        journal.line(&format!("the resource group {} is made", places.name));
        let body = json!({"location": order.region.as_str(), "tags": labels(order)});
        let (api, method) = (Api::Groups, Method::PUT);
        self.session.ask(api, method, &places.group, "", Some(&body)).await?;
        Ok(())
    }

    /// Whether an earlier try has made the machine. One that has failed goes.
    async fn find_again(
        &self,
        places: &Places,
        journal: &dyn Journal,
    ) -> Result<bool, ProviderError> {
        let begun = tokio::time::Instant::now();
        while let Some(found) = self.session.find(Api::Machines, &places.machine, "").await? {
            match state_of(&found) {
                "Succeeded" => {
                    journal.line("the machine is there already");
                    return Ok(true);
                }
                "Failed" | "Canceled" => {
                    journal.line("what is left of an earlier try is deleted");
                    let (api, method) = (Api::Machines, Method::DELETE);
                    let query = "&forceDeletion=true";
                    let reply = self.session.ask(api, method, &places.machine, query, None).await?;
                    self.session.await_end(reply, self.patience(), journal).await?;
                    return Ok(false);
                }
                state if begun.elapsed() > self.limit => {
                    let message = format!("the machine `{}` is still {state}", places.name);
                    return Err(ProviderError::new(ErrorClass::Transient, message));
                }
                _ => pause(journal, self.poll).await?,
            }
        }
        Ok(false)
    }

    /// Network, address and network interface.
    async fn make_surroundings(
        &self,
        order: &Order,
        places: &Places,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        journal.line("its network is made");
        let made = |properties: Value| json!({"location": order.region.as_str(), "tags": labels(order), "properties": properties});
        let rules: Vec<Value> = self.wanted.ssh_from.iter().enumerate().map(ssh_rule).collect();
        let rules = made(json!({"securityRules": rules}));
        let mut address =
            made(json!({"publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"}));
        address["sku"] = json!({"name": "Standard"});
        let put = async |path: &str, body: &Value| {
            go_on(journal)?;
            self.session.put(Api::Network, path, body, self.patience(), journal).await
        };
        try_join(put(&places.rules, &rules), put(&places.address, &address)).await?;
        journal.progress(25);
        let network = made(json!({
            "addressSpace": {"addressPrefixes": [NETWORK]},
            "subnets": [{"name": "workers", "properties": {
                "addressPrefix": SUBNET, "networkSecurityGroup": {"id": places.rules},
            }}],
        }));
        put(&places.network, &network).await?;
        journal.progress(35);
        let interface = made(json!({
            "networkSecurityGroup": {"id": places.rules},
            "ipConfigurations": [{"name": "main", "properties": {
                "subnet": {"id": places.subnet},
                "publicIPAddress": {"id": places.address},
                "privateIPAllocationMethod": "Dynamic",
            }}],
        }));
        put(&places.interface, &interface).await?;
        Ok(())
    }

    fn machine_body(&self, order: &Order, places: &Places, custom_data: &str, key: &str) -> Value {
        let wanted = &self.wanted;
        let flavor = order.flavor.as_str();
        let gpu_image = wanted.gpu_image.as_ref().filter(|_| gpu::of_flavor(flavor).is_some());
        let image = gpu_image.unwrap_or(&wanted.image);
        let user = &wanted.user;
        let mut disk = json!({
            "createOption": "FromImage", "deleteOption": "Delete",
            "managedDisk": {"storageAccountType": "Premium_LRS"},
        });
        if let Some(size) = wanted.system_disk {
            disk["diskSizeGB"] = size.into();
        }
        let mut machine = json!({
            "location": order.region.as_str(),
            "tags": labels(order),
            "properties": {
                "hardwareProfile": {"vmSize": flavor},
                "storageProfile": {"imageReference": image.reference(), "osDisk": disk},
                "osProfile": {
                    "computerName": &*order.worker,
                    "adminUsername": user,
                    "customData": custom_data,
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": true,
                        "ssh": {"publicKeys": [
                            {"path": format!("/home/{user}/.ssh/authorized_keys"), "keyData": key},
                        ]},
                    },
                },
                "networkProfile": {"networkInterfaces": [
                    {"id": places.interface, "properties": {"primary": true, "deleteOption": "Delete"}},
                ]},
            },
        });
        if wanted.priority == Priority::Spot {
            let properties = &mut machine["properties"];
            properties["priority"] = "Spot".into();
            // Nothing stays that would cost while nobody uses it.
            properties["evictionPolicy"] = "Delete".into();
            // At most the price of a regular machine, whatever others bid.
            properties["billingProfile"] = json!({"maxPrice": -1});
        }
        if let Some(plan) = gpu_image.map(Image::plan) {
            machine["plan"] = plan;
        }
        machine
    }

    fn custom_data(&self, order: &Order) -> Result<String, ProviderError> {
        let encoded = STANDARD.encode(self.user_data.render(order)?);
        if encoded.len() <= MOST_CUSTOM_DATA {
            return Ok(encoded);
        }
        let message = format!(
            "the user data have {} bytes when encoded, and Azure takes {MOST_CUSTOM_DATA}",
            encoded.len()
        );
        Err(ProviderError::new(ErrorClass::Unsupported, message))
    }

    async fn public_key(&self) -> Result<String, ProviderError> {
        let path = &self.wanted.public_key;
        let text = tokio::fs::read_to_string(path).await.map_err(|error| {
            let message = format!("cannot read the `public_key` `{}`: {error}", path.display());
            ProviderError::new(ErrorClass::Unsupported, message)
        })?;
        Ok(text.trim().to_owned())
    }

    fn places(&self, worker: &str, tag: &HeadTag) -> Result<Places, ProviderError> {
        let name = group_name(worker, tag);
        let group = self.session.path(&format!("/resourceGroups/{name}"))?;
        let network = format!("{group}/providers/Microsoft.Network");
        let virtual_network = format!("{network}/virtualNetworks/scitq");
        Ok(Places {
            rules: format!("{network}/networkSecurityGroups/scitq"),
            subnet: format!("{virtual_network}/subnets/workers"),
            network: virtual_network,
            address: format!("{network}/publicIPAddresses/scitq"),
            interface: format!("{network}/networkInterfaces/scitq"),
            machine: format!("{group}/providers/Microsoft.Compute/virtualMachines/{worker}"),
            name,
            group,
        })
    }
}

impl Image {
    fn reference(&self) -> Value {
        json!({
            "publisher": self.publisher, "offer": self.offer, "sku": self.sku,
            "version": self.version,
        })
    }

    /// Images with drivers in them are sold under a plan, whose terms the site has
    /// accepted before.
    fn plan(&self) -> Value {
        json!({"publisher": self.publisher, "product": self.offer, "name": self.sku})
    }
}

/// Of head and worker, so that it is known before anything is there. Two heads in one
/// subscription may have workers of the same name.
fn group_name(worker: &str, tag: &HeadTag) -> String {
    let short: String = tag.0.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("scitq-{worker}-{short}")
}

fn labels(order: &Order) -> Value {
    json!({(HeadTag::LABEL): &*order.tag.0, (HeadTag::WORKER_LABEL): &*order.worker})
}

fn ssh_rule((position, network): (usize, &String)) -> Value {
    json!({"name": format!("ssh-{position}"), "properties": {
        "priority": 100 + position, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": network, "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "22",
    }})
}

/// Nothing of others is ever changed or deleted.
fn check_owner(group: &Value, places: &Places, tag: &HeadTag) -> Result<(), ProviderError> {
    let pointer = format!("/tags/{}", HeadTag::LABEL);
    if group.pointer(&pointer).and_then(Value::as_str) == Some(&*tag.0) {
        return Ok(());
    }
    let message = format!(
        "the resource group `{}` is there and does not carry the tag of this head: it stays as it is",
        places.name
    );
    Err(ProviderError::new(ErrorClass::Unsupported, message))
}

fn state_of(resource: &Value) -> &str {
    let state = resource.pointer("/properties/provisioningState");
    state.and_then(Value::as_str).unwrap_or_default()
}

/// `running`, `deallocated` and so on; empty while it is not known.
fn power_of(machine: &Value) -> &str {
    let statuses = machine.pointer("/properties/instanceView/statuses").and_then(Value::as_array);
    let codes = statuses.into_iter().flatten().filter_map(|status| status["code"].as_str());
    codes.filter_map(|code| code.strip_prefix("PowerState/")).next_back().unwrap_or_default()
}

fn failure_of(machine: &Value) -> String {
    let statuses = machine.pointer("/properties/instanceView/statuses").and_then(Value::as_array);
    let failed = statuses.into_iter().flatten().find(|status| {
        status["code"].as_str().is_some_and(|code| code.starts_with("ProvisioningState/failed"))
    });
    failed.map_or_else(
        || "no reason given".to_owned(),
        |status| of_operation("Azure", status).message,
    )
}
