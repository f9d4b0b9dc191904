//! Which flavor is taken: the first that is meant, may be used, does not rest and has
//! room in its quota.

use std::collections::BTreeMap;

use crate::domain::Monotonic;
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::domain::hire::{Hire, Quota, Scope};
use crate::domain::protofilter::{Preference, Selection, order};

use super::super::state::State;
use super::{Market, Rest, Spot};

/// What is hired at each provider and in each region.
#[derive(Debug, Clone, Default)]
pub struct Usage(BTreeMap<(ProviderName, RegionName), Used>);

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    cpus: u64,
    memory: f64,
    instances: u64,
}

/// A flavor, and how many of it can be hired now; none: any number.
#[derive(Debug, Clone)]
pub struct Offer<'a> {
    pub flavor: &'a Flavor,
    pub available: Option<u64>,
}

impl Usage {
    /// Counts one more machine.
    pub(super) fn add(
        &mut self,
        provider: &ProviderName,
        region: &RegionName,
        cpu: u32,
        ram: Option<f64>,
    ) {
        let used = self.0.entry((provider.clone(), region.clone())).or_default();
        used.cpus += u64::from(cpu);
        used.memory += ram.unwrap_or(0.0);
        used.instances += 1;
    }

    fn add_hire(&mut self, hire: &Hire) {
        self.add(&hire.provider, &hire.region, hire.cpu, hire.ram);
    }

    /// How many more of a flavor the quota allows.
    fn left(&self, flavor: &Flavor, quota: &Quota) -> Option<u64> {
        let key = (flavor.provider.clone(), flavor.region.clone());
        let used = self.0.get(&key).copied().unwrap_or_default();
        let by_cpus = quota
            .cpus
            .map(|cpus| u64::from(cpus).saturating_sub(used.cpus) / u64::from(flavor.cpu.max(1)));
        let by_memory = match (quota.memory, flavor.ram) {
            (Some(memory), Some(each)) if each > 0.0 => Some(whole((memory - used.memory) / each)),
            _ => None,
        };
        let by_instances =
            quota.instances.map(|instances| u64::from(instances).saturating_sub(used.instances));
        [by_cpus, by_memory, by_instances].into_iter().flatten().min()
    }
}

/// The whole part of a number, nothing where it is below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kept within bounds")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, 1e15) as u64
}

impl Market {
    /// Sets what is offered, in the order in which it is taken.
    pub(super) fn set_flavors(&mut self, mut flavors: Vec<Flavor>) {
        flavors.retain(|flavor| self.providers.contains_key(&flavor.provider));
        let preference = |flavor: &Flavor| {
            let rules = self.providers.get(&flavor.provider);
            Preference::of(
                &flavor.region,
                rules.and_then(|rules| rules.preferred_region.as_deref()),
            )
        };
        let mut ranked: Vec<(Preference, Flavor)> =
            flavors.into_iter().map(|flavor| (preference(&flavor), flavor)).collect();
        ranked.sort_by(|a, b| order((&a.1, a.0), (&b.1, b.0)));
        self.flavors = ranked.into_iter().map(|(_, flavor)| flavor).collect::<Vec<_>>().into();
    }

    /// Why a flavor is not hired for a while.
    pub(super) fn rest_of(&self, flavor: &Flavor, now: Monotonic) -> Option<&Rest> {
        let whole = Spot { provider: flavor.provider.clone(), place: None };
        let place = Some((flavor.region.clone(), flavor.name.clone()));
        let one = Spot { provider: flavor.provider.clone(), place };
        [whole, one].iter().filter_map(|spot| self.resting.get(spot)).find(|rest| rest.until > now)
    }

    /// Whether a flavor's provider may be used.
    #[must_use]
    pub fn is_within(&self, scope: Scope, flavor: &Flavor) -> bool {
        self.providers
            .get(&flavor.provider)
            .is_some_and(|rules| rules.scope == Scope::Shared || scope == Scope::Everything)
    }

    /// How many of a flavor can be hired now.
    #[must_use]
    pub fn available(&self, flavor: &Flavor, usage: &Usage, now: Monotonic) -> Option<u64> {
        if !self.resting.is_empty() && self.rest_of(flavor, now).is_some() {
            return Some(0);
        }
        let quota = self.providers.get(&flavor.provider)?.quotas.get(&flavor.region)?;
        usage.left(flavor, quota)
    }

    /// The flavors that are meant, in the order in which they are taken.
    pub fn offers<'a, 'b>(
        &'a self,
        selection: &'b Selection,
        scope: Scope,
        usage: &'b Usage,
        now: Monotonic,
    ) -> impl Iterator<Item = Offer<'a>> + use<'a, 'b> {
        self.flavors
            .iter()
            .filter(move |flavor| selection.fits(flavor) && self.is_within(scope, flavor))
            .map(move |flavor| Offer { flavor, available: self.available(flavor, usage, now) })
    }

    /// The first that has room in its quota, whether it rests or not.
    pub(super) fn first_with_room(
        &self,
        selection: &Selection,
        scope: Scope,
        usage: &Usage,
    ) -> Option<&Flavor> {
        let has_room = |flavor: &&Flavor| {
            let rules = self.providers.get(&flavor.provider);
            let quota = rules.and_then(|rules| rules.quotas.get(&flavor.region));
            quota.and_then(|quota| usage.left(flavor, quota)) != Some(0)
        };
        self.flavors
            .iter()
            .filter(|flavor| selection.fits(flavor) && self.is_within(scope, flavor))
            .find(has_room)
    }

    /// The one that is taken.
    pub(super) fn choose(
        &self,
        selection: &Selection,
        scope: Scope,
        usage: &Usage,
        now: Monotonic,
    ) -> Option<&Flavor> {
        self.offers(selection, scope, usage, now)
            .find(|offer| offer.available != Some(0))
            .map(|offer| offer.flavor)
    }
}

impl State {
    /// What is hired, also what is on its way or about to go.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for hire in self.workers.values().filter_map(|worker| worker.hire.as_deref()) {
            usage.add_hire(hire);
        }
        usage
    }
}
