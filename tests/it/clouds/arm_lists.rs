//! The lists of the Azure that is made here: flavors, prices, rates of eviction. They come
//! in pages of two.

use serde_json::{Value, json};

use super::arm::refusal;
use super::web::{Answer, Asked};

/// Name, cores, GiB of memory, GiB of temporary disk, GPUs, and what is odd about it.
const SKUS: &[(&str, u32, f64, u32, u32, &str)] = &[
    ("Standard_D2s_v3", 2, 8.0, 16, 0, ""),
    ("Standard_D4s_v3", 4, 16.0, 32, 0, ""),
    ("Standard_NC4as_T4_v3", 4, 28.0, 176, 1, ""),
    ("Standard_L8s_v3", 8, 64.0, 80, 0, "nvme"),
    ("Standard_D2ps_v5", 2, 8.0, 0, 0, "arm"),
    ("Standard_D2_v3", 2, 8.0, 50, 0, "no premium"),
    ("Standard_M64s", 64, 1024.0, 2048, 0, "closed"),
];

/// Flavor, what the line is for, price per hour in euros.
const PRICES: &[(&str, &str, f64)] = &[
    ("Standard_D2s_v3", "D2s v3 Spot", 0.02),
    ("Standard_D2s_v3", "D2s v3", 0.11),
    ("Standard_D2s_v3", "D2s v3 Low Priority", 0.03),
    ("Standard_D4s_v3", "D4s v3 Spot", 0.04),
    ("Standard_NC4as_T4_v3", "NC4as T4 v3 Spot", 0.09),
];

const RATES: &[(&str, &str)] =
    &[("standard_d2s_v3", "0-5"), ("standard_d4s_v3", "5-10"), ("standard_nc4as_t4_v3", "20+")];

pub fn skus(asked: &Asked, url: &str) -> Answer {
    let filter = asked.query.get("$filter").map_or("", String::as_str);
    let region = filter.strip_prefix("location eq '").and_then(|rest| rest.strip_suffix('\''));
    let Some(region) = region else {
        return refusal(400, "InvalidFilter", filter);
    };
    let is_known = ["francecentral", "swedencentral"].contains(&region);
    let mut items: Vec<Value> =
        SKUS.iter().filter(|_| is_known).map(|sku| shown(sku, region)).collect();
    items.insert(0, json!({"resourceType": "disks", "name": "Premium_LRS", "locations": [region]}));
    page(asked, url, &items)
}

fn shown(sku: &(&str, u32, f64, u32, u32, &str), region: &str) -> Value {
    let (name, cores, memory, disk, gpus, odd) = *sku;
    let text = |name: &str, value: String| json!({"name": name, "value": value});
    let mut capabilities = vec![
        text("vCPUs", cores.to_string()),
        text("vCPUsAvailable", cores.to_string()),
        text("MemoryGB", memory.to_string()),
        text("MaxResourceVolumeMB", (disk * 1024).to_string()),
        text("HyperVGenerations", "V1,V2".to_owned()),
        text("CpuArchitectureType", if odd == "arm" { "Arm64" } else { "x64" }.to_owned()),
        text("PremiumIO", if odd == "no premium" { "False" } else { "True" }.to_owned()),
        text("LowPriorityCapable", "True".to_owned()),
    ];
    if gpus > 0 {
        capabilities.push(text("GPUs", gpus.to_string()));
    }
    if odd == "nvme" {
        capabilities.push(text("NvmeDiskSizeInMiB", (1788 * 1024).to_string()));
    }
    let restrictions = match odd {
        "closed" => json!([{"type": "Location", "values": [region],
            "reasonCode": "NotAvailableForSubscription"}]),
        _ => json!([]),
    };
    json!({
        "resourceType": "virtualMachines", "name": name, "tier": "Standard", "locations": [region],
        "capabilities": capabilities, "restrictions": restrictions,
    })
}

pub fn prices(asked: &Asked, url: &str) -> Answer {
    let filter = asked.query.get("$filter").map_or("", String::as_str);
    let wanted =
        ["serviceName eq 'Virtual Machines'", "priceType eq 'Consumption'", "armRegionName eq '"];
    if !wanted.iter().all(|part| filter.contains(part)) {
        return refusal(400, "InvalidFilter", filter);
    }
    let currency =
        asked.query.get("currencyCode").map_or("'USD'", String::as_str).trim_matches('\'');
    let lines: Vec<Value> = PRICES
        .iter()
        .map(|(flavor, sku, price)| {
            json!({
                "currencyCode": currency, "retailPrice": price, "unitPrice": price,
                "armRegionName": "francecentral", "productName": "Virtual Machines Series",
                "skuName": sku, "armSkuName": flavor, "serviceName": "Virtual Machines",
                "unitOfMeasure": "1 Hour", "type": "Consumption",
            })
        })
        .collect();
    let begin: usize = asked.query.get("$skip").map_or(0, |text| text.parse().unwrap());
    let end = lines.len().min(begin + 2);
    let next = (end < lines.len()).then(|| {
        let query = [("currencyCode", format!("'{currency}'")), ("$filter", filter.to_owned())];
        let query =
            query.map(|(key, value)| format!("{key}={}", value.replace(' ', "%20"))).join("&");
        format!("{url}/api/retail/prices?{query}&$skip={end}")
    });
    let body = json!({"Items": lines[begin..end], "NextPageLink": next, "Count": end - begin});
    Answer::json(200, &body)
}

pub fn evictions(question: &Value) -> Answer {
    let query = question["query"].as_str().unwrap();
    if !query.contains("microsoft.compute/skuspotevictionrate/location") {
        return refusal(400, "InvalidQuery", query);
    }
    let begin: usize =
        question["options"]["$skipToken"].as_str().map_or(0, |text| text.parse().unwrap());
    let end = RATES.len().min(begin + 2);
    let rows: Vec<Value> = RATES[begin..end]
        .iter()
        .map(|(flavor, rate)| json!({"flavor": flavor, "rate": rate}))
        .collect();
    let mut body = json!({"totalRecords": RATES.len(), "count": rows.len(), "data": rows});
    if end < RATES.len() {
        body["$skipToken"] = end.to_string().into();
    }
    Answer::json(200, &body)
}

/// A page of a list of the Resource Manager.
pub fn page(asked: &Asked, url: &str, items: &[Value]) -> Answer {
    let begin: usize = asked.query.get("$skiptoken").map_or(0, |text| text.parse().unwrap());
    let end = items.len().min(begin + 2);
    let mut body = json!({"value": items[begin..end]});
    if end < items.len() {
        let pairs = asked.query.iter().filter(|(key, _)| *key != "$skiptoken");
        let query: Vec<String> =
            pairs.map(|(key, value)| format!("{key}={}", value.replace(' ', "%20"))).collect();
        body["nextLink"] =
            format!("{url}{}?{}&$skiptoken={end}", asked.path, query.join("&")).into();
    }
    Answer::json(200, &body)
}
