//! The shapes of what Azure's Resource Manager takes, as its REST reference has them, cut to
//! what a head sends.
//!
//! A shape is written as the body itself is: `text`, `number` and `flag` stand for values,
//! `a|b` for one of these texts, a key with `?` may be missing, `*` is any key, and a list
//! has the shape of its items. A key that is not named is an error, as it is at Azure.

use serde_json::Value;

pub const GROUP: &str = r#"{"location": "text", "tags?": {"*": "text"}}"#;

pub const RULES: &str = r#"{
  "location": "text", "tags?": {"*": "text"},
  "properties": {"securityRules?": [{"name": "text", "properties": {
    "priority": "number", "direction": "Inbound|Outbound", "access": "Allow|Deny",
    "protocol": "Tcp|Udp|Icmp|*", "sourceAddressPrefix": "text", "sourcePortRange": "text",
    "destinationAddressPrefix": "text", "destinationPortRange": "text"
  }}]}
}"#;

pub const ADDRESS: &str = r#"{
  "location": "text", "tags?": {"*": "text"}, "sku?": {"name": "Basic|Standard"},
  "properties": {
    "publicIPAllocationMethod": "Static|Dynamic", "publicIPAddressVersion?": "IPv4|IPv6"
  }
}"#;

pub const NETWORK: &str = r#"{
  "location": "text", "tags?": {"*": "text"},
  "properties": {
    "addressSpace": {"addressPrefixes": ["text"]},
    "subnets?": [{"name": "text", "properties": {
      "addressPrefix": "text", "networkSecurityGroup?": {"id": "text"}
    }}]
  }
}"#;

pub const INTERFACE: &str = r#"{
  "location": "text", "tags?": {"*": "text"},
  "properties": {
    "networkSecurityGroup?": {"id": "text"},
    "ipConfigurations": [{"name": "text", "properties": {
      "subnet": {"id": "text"}, "publicIPAddress?": {"id": "text"},
      "privateIPAllocationMethod?": "Static|Dynamic"
    }}]
  }
}"#;

pub const MACHINE: &str = r#"{
  "location": "text", "tags?": {"*": "text"},
  "plan?": {"name": "text", "product": "text", "publisher": "text"},
  "properties": {
    "hardwareProfile": {"vmSize": "text"},
    "storageProfile": {
      "imageReference": {"publisher": "text", "offer": "text", "sku": "text", "version": "text"},
      "osDisk": {
        "createOption": "FromImage|Attach|Empty|Copy|Restore", "deleteOption?": "Delete|Detach",
        "managedDisk?": {"storageAccountType": "Standard_LRS|StandardSSD_LRS|Premium_LRS"},
        "diskSizeGB?": "number"
      }
    },
    "osProfile": {
      "computerName": "text", "adminUsername": "text", "customData?": "text",
      "linuxConfiguration": {
        "disablePasswordAuthentication": "flag",
        "ssh": {"publicKeys": [{"path": "text", "keyData": "text"}]}
      }
    },
    "networkProfile": {"networkInterfaces": [{"id": "text", "properties?": {
      "primary?": "flag", "deleteOption?": "Delete|Detach"
    }}]},
    "priority?": "Regular|Low|Spot", "evictionPolicy?": "Deallocate|Delete",
    "billingProfile?": {"maxPrice": "number"}
  }
}"#;

pub const QUESTION: &str = r#"{
  "subscriptions": ["text"], "query": "text",
  "options?": {"resultFormat?": "table|objectArray", "$skipToken?": "text"}
}"#;

/// What is wrong with a body; none: nothing.
pub fn fault_of(body: &Value, shape: &str) -> Option<String> {
    check(body, &serde_json::from_str(shape).unwrap(), "$").err()
}

fn check(value: &Value, shape: &Value, place: &str) -> Result<(), String> {
    match (shape, value) {
        (Value::Object(shape), Value::Object(fields)) => {
            for (key, value) in fields {
                let inner = shape.get(key).or_else(|| shape.get(&format!("{key}?")));
                let Some(inner) = inner.or_else(|| shape.get("*")) else {
                    return Err(format!("{place} has no member `{key}`"));
                };
                check(value, inner, &format!("{place}.{key}"))?;
            }
            let wanted = shape.keys().filter(|key| !key.ends_with('?') && *key != "*");
            match wanted.into_iter().find(|key| !fields.contains_key(*key)) {
                Some(missing) => Err(format!("{place} lacks `{missing}`")),
                None => Ok(()),
            }
        }
        (Value::Array(shape), Value::Array(items)) => {
            items.iter().try_for_each(|item| check(item, &shape[0], &format!("{place}[]")))
        }
        (Value::String(shape), value) => {
            let fits = match (shape.as_str(), value) {
                ("text", Value::String(text)) => !text.is_empty(),
                ("number", Value::Number(_)) | ("flag", Value::Bool(_)) => true,
                (one_of, Value::String(text)) => one_of.split('|').any(|one| one == text),
                _ => false,
            };
            if fits { Ok(()) } else { Err(format!("{place} is {value} and not {shape}")) }
        }
        _ => Err(format!("{place} is of another kind than {shape}")),
    }
}

#[test]
fn a_body_is_held_to_its_shape() {
    let fault = |body: &str| fault_of(&serde_json::from_str(body).unwrap(), ADDRESS);
    let good = r#"{"location": "x", "properties": {"publicIPAllocationMethod": "Static"}}"#;
    assert_eq!(fault(good), None);
    assert_eq!(fault(r#"{"location": "x"}"#).unwrap(), "$ lacks `properties`");
    let odd = r#"{"location": "x", "properties": {"publicIPAllocationMethod": "static"}}"#;
    assert!(fault(odd).unwrap().starts_with("$.properties.publicIPAllocationMethod is \"static\""));
    let odd = good.replace("}}", "}, \"zone\": 1}");
    let odd = odd.as_str();
    assert_eq!(fault(odd).unwrap(), "$ has no member `zone`");
}
