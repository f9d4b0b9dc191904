//! Azure as a source of machines.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use reqwest::Url;

use super::session::{Patience, Session};
use super::settings::Wanted;
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::server::hiring::provider::user_data::UserData;
use crate::server::hiring::provider::{
    HeadTag, Hired, Journal, MachineId, MachineStatus, Order, Provider, ProviderError,
};

/// One subscription, with what the site has set of it.
#[derive(Debug)]
pub(super) struct Azure {
    pub name: ProviderName,
    pub regions: Vec<RegionName>,
    pub wanted: Wanted,
    pub poll: Duration,
    pub limit: Duration,
    pub prices: Url,
    pub user_data: UserData,
    pub session: Session,
}

impl Azure {
    pub(super) const fn patience(&self) -> Patience {
        Patience { poll: self.poll, limit: self.limit }
    }
}

impl Provider for Azure {
    fn flavors(&self) -> BoxFuture<'_, Result<Vec<Flavor>, ProviderError>> {
        self.all_flavors().boxed()
    }

    fn create<'a>(
        &'a self,
        order: &'a Order,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<MachineId, ProviderError>> {
        self.make(order, journal).boxed()
    }

    /// Its user data do that.
    fn deploy<'a>(
        &'a self,
        _order: &'a Order,
        _machine: &'a MachineId,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        journal.line("the machine fetches its agent by itself at its first start");
        ready(Ok(())).boxed()
    }

    fn status<'a>(
        &'a self,
        hired: &'a Hired,
    ) -> BoxFuture<'a, Result<MachineStatus, ProviderError>> {
        self.status_of(hired).boxed()
    }

    fn destroy<'a>(
        &'a self,
        hired: &'a Hired,
        journal: &'a dyn Journal,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.end(hired, journal).boxed()
    }

    fn list<'a>(&'a self, tag: &'a HeadTag) -> BoxFuture<'a, Result<Vec<Hired>, ProviderError>> {
        self.all_of(tag).boxed()
    }

    fn script(&self, order: &Order) -> Result<Option<String>, ProviderError> {
        // A template of the site's own that has an error by now is told.
        self.user_data.render(order)?;
        Ok(Some(self.user_data.script(order)))
    }
}
