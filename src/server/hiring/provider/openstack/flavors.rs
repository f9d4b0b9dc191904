//! The kinds of machines that an OpenStack cloud has.

use super::api::NovaFlavor;
use super::source::OpenStack;
use crate::domain::flavor::{Flavor, RegionName};
use crate::server::hiring::provider::{ErrorClass, ProviderError};

/// The first version of Nova's API that tells a flavor's extra specs in the list.
const WITH_EXTRA_SPECS: &str = "2.61";

impl OpenStack {
    /// What there is in all regions.
    pub(super) async fn all_flavors(&self) -> Result<Vec<Flavor>, ProviderError> {
        let mut all = Vec::new();
        for region in self.all_regions().await? {
            let found = self.flavors_in(&region).await?;
            all.extend(found.iter().map(|flavor| self.flavor_of(flavor, &region)));
        }
        Ok(all)
    }

    /// The id under which Nova knows a flavor.
    pub(super) async fn flavor_named(
        &self,
        region: &RegionName,
        name: &str,
    ) -> Result<NovaFlavor, ProviderError> {
        let flavors = self.flavors_in(region).await?;
        flavors.into_iter().find(|flavor| flavor.name == name).ok_or_else(|| {
            let message =
                format!("provider `{}` has no flavor `{name}` in the region `{region}`", self.name);
            ProviderError::new(ErrorClass::Unsupported, message)
        })
    }

    async fn flavors_in(&self, region: &RegionName) -> Result<Vec<NovaFlavor>, ProviderError> {
        let version = Some(WITH_EXTRA_SPECS);
        let pages = match self.session.pages(region, "/flavors/detail", "flavors", version).await {
            // An older cloud refuses the version, or hides the extra specs: they are luxury.
            Err(error) if error.class == ErrorClass::Unsupported => {
                self.session.pages(region, "/flavors/detail", "flavors", None).await?
            }
            other => other?,
        };
        let mut flavors = Vec::with_capacity(pages.len());
        for page in pages {
            let flavor: NovaFlavor = serde_json::from_value(page).map_err(|error| {
                let message = format!("a flavor of the region `{region}` cannot be read: {error}");
                ProviderError::new(ErrorClass::Unsupported, message)
            })?;
            let is_left_out =
                self.settings.without_flavors.iter().any(|pattern| is_like(&flavor.name, pattern));
            if !flavor.disabled && !is_left_out {
                flavors.push(flavor);
            }
        }
        Ok(flavors)
    }

    fn flavor_of(&self, found: &NovaFlavor, region: &RegionName) -> Flavor {
        let mut flavor = Flavor::new(found.name.as_str(), &self.name, region, found.vcpus);
        flavor.ram = Some(found.ram / 1024.0);
        flavor.disk = Some(found.disk + found.ephemeral);
        flavor.gpu = found.gpu();
        if flavor.gpu.is_some() {
            flavor.tags.push('G');
        }
        if found.is_bare_metal() {
            flavor.tags.push('M');
        }
        flavor
    }
}

impl NovaFlavor {
    /// The name of its GPUs: that of the devices that are passed through, else of what
    /// the scheduler looks for.
    pub(super) fn gpu(&self) -> Option<String> {
        if let Some(alias) = self.extra_specs.get("pci_passthrough:alias") {
            return alias.split(':').next().map(str::to_owned);
        }
        let wanted = ["resources:VGPU", "resources:PGPU"];
        let found = wanted.iter().find(|key| self.extra_specs.contains_key(**key))?;
        found.strip_prefix("resources:").map(str::to_owned)
    }

    fn is_bare_metal(&self) -> bool {
        let is_ironic =
            self.extra_specs.keys().any(|key| key.starts_with("resources:CUSTOM_BAREMETAL"));
        is_ironic || self.name.starts_with("bm")
    }
}

/// Whether a name fits a pattern in which `%` stands for any text.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('%');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut ended = !pattern.contains('%');
    let parts: Vec<&str> = parts.collect();
    for (position, part) in parts.iter().enumerate() {
        let is_last = position + 1 == parts.len();
        if is_last {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
        ended = false;
    }
    ended && rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_leaves_out_what_it_fits() {
        for (name, pattern, expected) in [
            ("win-b2-7", "win-%", true),
            ("b2-7", "win-%", false),
            ("b2-7-flex", "%-flex", true),
            ("b2-7-flex", "b2%flex", true),
            ("b2-7-flex", "%7%", true),
            ("b2-7", "b2-7", true),
            ("b2-7", "b2", false),
        ] {
            assert_eq!(is_like(name, pattern), expected, "{name} {pattern}");
        }
    }
}
