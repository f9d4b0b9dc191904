//! What Azure's machines cost, and how often they are taken away.

use std::collections::HashMap;

use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::{Api, ask_openly};
use super::settings::Priority;
use super::source::Azure;
use crate::domain::flavor::RegionName;
use crate::server::hiring::provider::ProviderError;
use crate::server::hiring::provider::wire::{Wire, escaped};

/// Azure tells rates as ranges; of the last, which has no end, this is taken.
const HIGHEST_RATE: f64 = 25.0;

/// Asks for the rates of all flavors in one region. The region is put in between.
const RATES: [&str; 2] = [
    "spotresources | where type =~ 'microsoft.compute/skuspotevictionrate/location' and location =~ '",
    "' | project flavor = tostring(sku.name), rate = tostring(properties.evictionRate)",
];

/// One line of the price list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    arm_sku_name: String,
    #[serde(default)]
    sku_name: String,
    #[serde(default)]
    product_name: String,
    #[serde(default)]
    unit_of_measure: String,
    retail_price: f64,
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Page {
    #[serde(rename = "Items")]
    items: Vec<Line>,
    #[serde(rename = "NextPageLink")]
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Rate {
    flavor: String,
    rate: String,
}

impl Azure {
    /// Price per hour of each flavor of a region.
    pub(super) async fn prices_in(
        &self,
        region: &RegionName,
    ) -> Result<HashMap<String, f64>, ProviderError> {
        let filter = format!(
            "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '{region}'"
        );
        let base = format!("{}/api/retail/prices", self.prices.as_str().trim_end_matches('/'));
        let currency = escaped(&format!("'{}'", self.wanted.currency));
        let mut query = format!("currencyCode={currency}&$filter={}", escaped(&filter));
        let wire = Wire::new(None, Vec::new())?;
        let mut prices = HashMap::new();
        loop {
            let reply = ask_openly(&wire, &format!("{base}?{query}")).await?;
            let page: Page = reply.read()?;
            for line in page.items.iter().filter(|line| line.is_for(self.wanted.priority)) {
                // The list may have a line of last year beside that of today.
                let price = prices.entry(line.arm_sku_name.clone()).or_insert(line.retail_price);
                *price = f64::min(*price, line.retail_price);
            }
            let next = page.next.as_deref().and_then(|link| link.split_once('?'));
            match next {
                Some((_, next)) if next != query => next.clone_into(&mut query),
                _ => return Ok(prices),
            }
        }
    }

    /// Of a hundred spot machines of each flavor, how many are taken away in an hour.
    pub(super) async fn evictions_in(
        &self,
        region: &RegionName,
    ) -> Result<HashMap<String, f64>, ProviderError> {
        let path = "/providers/Microsoft.ResourceGraph/resources";
        let subscription = self.session.path("")?;
        let subscription = subscription.rsplit('/').next().unwrap_or_default();
        let mut rates = HashMap::new();
        let mut token: Option<String> = None;
        loop {
            let mut options = json!({"resultFormat": "objectArray"});
            if let Some(token) = &token {
                options["$skipToken"] = token.as_str().into();
            }
            let body = json!({
                "subscriptions": [subscription],
                "query": RATES.join(region.as_str()),
                "options": options,
            });
            let reply = self.session.ask(Api::Graph, Method::POST, path, "", Some(&body)).await?;
            let next = reply.body.get("$skipToken").and_then(Value::as_str).map(str::to_owned);
            let data = reply.body.get("data").and_then(Value::as_array);
            for row in data.into_iter().flatten() {
                let Ok(row) = Rate::deserialize(row) else { continue };
                if let Some(rate) = upper_bound(&row.rate) {
                    rates.insert(row.flavor.to_lowercase(), rate);
                }
            }
            if next.is_none() || next == token {
                return Ok(rates);
            }
            token = next;
        }
    }
}

impl Line {
    fn is_for(&self, priority: Priority) -> bool {
        let is_spot = self.sku_name.ends_with(" Spot");
        let is_other = self.sku_name.ends_with(" Low Priority")
            || self.product_name.contains("Windows")
            || self.product_name.contains("CloudServices");
        let is_hourly = self.unit_of_measure == "1 Hour" && self.kind == "Consumption";
        is_hourly && !is_other && is_spot == (priority == Priority::Spot)
    }
}

/// `5-10` is at most 10; `20+` has no bound.
fn upper_bound(range: &str) -> Option<f64> {
    if range.ends_with('+') {
        return Some(HIGHEST_RATE);
    }
    range.rsplit('-').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_range_the_upper_bound_counts() {
        assert_eq!(upper_bound("0-5"), Some(5.0));
        assert_eq!(upper_bound("15-20"), Some(20.0));
        assert_eq!(upper_bound("20+"), Some(HIGHEST_RATE));
        assert_eq!(upper_bound("soon"), None);
    }

    #[test]
    fn a_line_is_for_spot_or_for_regular_machines_or_for_others() {
        let line = |sku: &str, product: &str| Line {
            arm_sku_name: "Standard_D2s_v3".to_owned(),
            sku_name: sku.to_owned(),
            product_name: product.to_owned(),
            unit_of_measure: "1 Hour".to_owned(),
            retail_price: 0.1,
            kind: "Consumption".to_owned(),
        };
        let plain = "Virtual Machines DSv3 Series";
        assert!(line("D2s v3 Spot", plain).is_for(Priority::Spot));
        assert!(!line("D2s v3", plain).is_for(Priority::Spot));
        assert!(line("D2s v3", plain).is_for(Priority::Regular));
        assert!(!line("D2s v3 Low Priority", plain).is_for(Priority::Regular));
        assert!(!line("D2s v3", "Virtual Machines DSv3 Series Windows").is_for(Priority::Regular));
    }
}
