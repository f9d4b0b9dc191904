//! Machines that the head has hired: what was wanted, what came of it, and by which
//! rules of the site.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use super::Timestamp;
use super::flavor::{FlavorName, ProviderName, RegionName};
use super::protofilter::{Filter, FilterError, Selection};

/// What is wanted, in the words of the one who wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The name of a flavor, or a protofilter such as `auto:cpu>=8`.
    pub flavor: String,
    /// None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
    /// None: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionName>,
}

impl Wanted {
    /// The same, to be compared with flavors.
    ///
    /// # Errors
    /// The flavor is no name and no filter.
    pub fn selection(&self) -> Result<Selection, FilterError> {
        Ok(Selection {
            filter: self.flavor.parse::<Filter>()?,
            provider: self.provider.clone(),
            region: self.region.clone(),
        })
    }
}

/// Whose providers may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Those that the site has set up.
    #[default]
    Shared,
    /// Also those whose machines can reach what is the head's own.
    Everything,
}

/// A hired worker's machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hire {
    pub provider: ProviderName,
    pub region: RegionName,
    pub flavor: FlavorName,
    pub wanted: Wanted,
    #[serde(default)]
    pub scope: Scope,
    /// What the provider calls it, once it has answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    pub cpu: u32,
    /// GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ram: Option<f64>,
    /// Per hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub currency: String,
    pub hired_at: Timestamp,
    /// The rank of the recruiter that hired it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recruiter: Option<u32>,
}

impl Hire {
    /// What it has cost until then.
    #[must_use]
    pub fn spent(&self, now: Timestamp) -> f64 {
        self.cost.unwrap_or(0.0) * now.seconds_since(self.hired_at).max(0.0) / 3600.0
    }
}

/// An amount of money, to a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64)]
pub struct Money(u64);

/// A number that is no amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{0} is no amount of money")]
pub struct NoMoney(f64);

impl TryFrom<f64> for Money {
    type Error = NoMoney;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    fn try_from(amount: f64) -> Result<Self, Self::Error> {
        if (0.0..1e12).contains(&amount) {
            Ok(Self((amount * 1e6).round() as u64))
        } else {
            Err(NoMoney(amount))
        }
    }
}

impl From<Money> for f64 {
    #[expect(clippy::cast_precision_loss, reason = "amounts stay below 1e12")]
    fn from(money: Money) -> Self {
        money.0 as Self / 1e6
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f64::from(*self).fmt(f)
    }
}

impl FromStr for Money {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let amount: f64 = text.parse().map_err(|_| format!("`{text}` is no amount"))?;
        Self::try_from(amount).map_err(|error| error.to_string())
    }
}

/// What may be hired at once in one region; none: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// GiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<u32>,
}

/// What follows when a provider takes a machine away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnEviction {
    /// Its record stays, for people to see.
    Keep,
    /// What is left of it is destroyed.
    #[default]
    Delete,
    /// Another one is hired as well.
    Replace,
}

/// By which rules the engine hires at a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderRules {
    pub scope: Scope,
    /// A pattern of regions that are sorted before the others.
    pub preferred_region: Option<String>,
    pub quotas: BTreeMap<RegionName, Quota>,
    /// For how long a worker that has worked may have nothing to do.
    pub idle_after: Duration,
    /// Likewise one that never worked.
    pub unused_after: Duration,
    pub on_eviction: OnEviction,
}

/// [`ProviderRules::idle_after`] where the site sets nothing.
pub const IDLE_AFTER: Duration = Duration::from_mins(5);
/// [`ProviderRules::unused_after`] where the site sets nothing.
pub const UNUSED_AFTER: Duration = Duration::from_hours(1);

impl Default for ProviderRules {
    fn default() -> Self {
        Self {
            scope: Scope::Shared,
            preferred_region: None,
            quotas: BTreeMap::new(),
            idle_after: IDLE_AFTER,
            unused_after: UNUSED_AFTER,
            on_eviction: OnEviction::default(),
        }
    }
}
