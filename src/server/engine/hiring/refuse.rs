//! Why nothing can be hired, and what may have been meant.

use std::collections::BTreeSet;

use crate::domain::Monotonic;
use crate::domain::flavor::Flavor;
use crate::domain::hire::{Scope, Wanted};
use crate::domain::nearest::nearest;
use crate::domain::protofilter::{Filter, Selection};

use super::super::Refusal;
use super::{Market, ProviderName};

fn refusal(message: String, hint: String) -> Refusal {
    Refusal::NoMachine { message: message.into(), hint: hint.into() }
}

/// `did you mean …`, or all that there is.
fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>, what: &str) -> String {
    let known: BTreeSet<&str> = known.into_iter().collect();
    let alike = nearest(word, known.iter().copied());
    if !alike.is_empty() {
        return format!("did you mean {}?", alike.join(" or "));
    }
    let shown: Vec<&str> = known.iter().copied().take(12).collect();
    match known.len() {
        0 => format!("there is no {what}"),
        more if more > shown.len() => format!("{what}s are {} and others", shown.join(", ")),
        _ => format!("{what}s are {}", shown.join(", ")),
    }
}

impl Market {
    /// Names a provider, a region or a flavor that is not there.
    pub(in crate::server) fn check_names(
        &self,
        wanted: &Wanted,
        selection: &Selection,
        scope: Scope,
    ) -> Result<(), Refusal> {
        let usable: Vec<&Flavor> =
            self.flavors.iter().filter(|flavor| self.is_within(scope, flavor)).collect();
        if self.providers.is_empty() {
            return Err(refusal(
                "no provider of machines is set up".to_owned(),
                "write a [providers.NAME] table into server.toml; docs/recruiting.md shows how"
                    .to_owned(),
            ));
        }
        if let Some(provider) = &wanted.provider {
            let Some(rules) = self.providers.get(provider) else {
                let known = self.providers.keys().map(ProviderName::as_str);
                return Err(refusal(
                    format!("provider `{provider}` is not set up"),
                    meant(provider.as_str(), known, "provider"),
                ));
            };
            if rules.scope == Scope::Everything && scope == Scope::Shared {
                return Err(refusal(
                    format!("provider `{provider}` runs commands as the server itself"),
                    "use an administrator's token, or have it set up in server.toml".to_owned(),
                ));
            }
        }
        let at_provider = || {
            usable.iter().filter(|flavor| {
                wanted.provider.as_ref().is_none_or(|provider| *provider == flavor.provider)
            })
        };
        if let Some(region) = &wanted.region
            && !at_provider().any(|flavor| flavor.region == *region)
        {
            let place =
                wanted.provider.as_ref().map_or(String::new(), |name| format!(" of {name}"));
            return Err(refusal(
                format!("no flavor is known in a region `{region}`{place}"),
                meant(
                    region.as_str(),
                    at_provider().map(|flavor| flavor.region.as_str()),
                    "region",
                ),
            ));
        }
        if let Filter::Named(name) = &selection.filter
            && !usable.iter().any(|flavor| selection.fits(flavor))
        {
            let elsewhere: BTreeSet<String> = usable
                .iter()
                .filter(|flavor| flavor.name.as_str() == name)
                .map(|flavor| format!("{} of {}", flavor.region, flavor.provider))
                .collect();
            if elsewhere.is_empty() {
                let known = at_provider().map(|flavor| flavor.name.as_str());
                return Err(refusal(
                    format!("flavor `{name}` is not known"),
                    meant(name, known, "flavor"),
                ));
            }
            let places: Vec<String> = elsewhere.into_iter().take(12).collect();
            return Err(refusal(
                format!("flavor `{name}` is not there"),
                format!("it is in {}", places.join(", ")),
            ));
        }
        Ok(())
    }

    /// Why nothing, or not enough, can be hired of what is meant.
    pub(in crate::server) fn refuse(
        &self,
        wanted: &Wanted,
        selection: &Selection,
        scope: Scope,
        now: Monotonic,
    ) -> Refusal {
        if let Err(refusal) = self.check_names(wanted, selection, scope) {
            return refusal;
        }
        let usable = || self.flavors.iter().filter(|flavor| self.is_within(scope, flavor));
        let mut fitting = usable().filter(|flavor| selection.fits(flavor)).peekable();
        let Some(first) = fitting.peek() else {
            let all = usable().count();
            let hint = match selection.most_excluding(usable()) {
                Some(most) => format!("{} alone leaves out {} of {all}", most.term, most.count),
                None => "no flavor is known: scitq manage provider check".to_owned(),
            };
            return refusal(format!("no flavor fits `{}`", wanted.flavor), hint);
        };
        let (name, region, provider) = (&first.name, &first.region, &first.provider);
        let hint = match self.rest_of(first, now) {
            Some(rest) => format!(
                "{name} in {region} of {provider} rests for {} s: {}",
                rest.until.since(now).as_secs(),
                rest.reason
            ),
            None => format!("the quota of {region} of {provider} has no room for {name}"),
        };
        let count = fitting.count();
        refusal(format!("none of the {count} flavors that fit can be hired now"), hint)
    }
}
