//! `/api/v2/flavors` and `/api/v2/providers`: what can be hired, and where.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::error::{ErrorBody, ErrorCode};
use crate::api::hiring::{
    AskScript, FlavorList, FlavorView, ImportFlavors, ListFlavors, ProviderList, ProviderScript,
    ProviderView,
};
use crate::domain::Monotonic;
use crate::domain::flavor::ProviderName;
use crate::domain::hire::{Scope, Wanted};
use crate::domain::protofilter::{Filter, Selection};

use super::super::engine::Refusal;
use super::super::engine::state::State as EngineState;
use super::super::hiring::HiringService;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::jobs::{pointer, wanted};
use super::request::{Change, Id, Parameters};

/// List flavors in the order in which they are taken
#[utoipa::path(get, path = "/api/v2/flavors", tag = "hiring", params(ListFlavors),
    responses((status = 200, body = FlavorList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Parameters(query): Parameters<ListFlavors>,
) -> ApiResult<Json<FlavorList>> {
    if query.limit == Some(0) {
        return Err(ApiError::invalid("limit 0 is not at least 1"));
    }
    let limit =
        query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let is_any = query.flavor.is_none();
    // Not what it says is taken then, but everything.
    let flavor = query.flavor.unwrap_or_else(|| "auto".to_owned());
    let wanted = wanted(flavor, query.provider, query.region);
    let mut selection = wanted.selection().map_err(|error| {
        ApiError::invalid(format!("flavor: {error}")).hint(pointer(&wanted.flavor, error.at))
    })?;
    if is_any {
        selection.filter = Filter::Any;
    }
    let scope = HiringService::scope_of(caller.principal.role);
    let now = app.clock.now().monotonic;
    let asked =
        app.engine.query(move |state| find(state, (&wanted, &selection), scope, limit, now));
    Ok(Json(asked.await?))
}

fn find(
    state: &EngineState,
    (wanted, selection): (&Wanted, &Selection),
    scope: Scope,
    limit: usize,
    now: Monotonic,
) -> FlavorList {
    let market = &state.hiring.market;
    let usage = state.usage();
    let known = market.flavors.iter().filter(|flavor| market.is_within(scope, flavor)).count();
    let mut list =
        FlavorList { flavors: Vec::new(), fitting: 0, known: known as u64, why_none: None };
    for offer in market.offers(selection, scope, &usage, now) {
        list.fitting += 1;
        if list.flavors.len() < limit {
            let (flavor, available) = (offer.flavor.clone(), offer.available);
            list.flavors.push(FlavorView { flavor, available });
        }
    }
    if list.fitting == 0 {
        list.why_none = match market.refuse(wanted, selection, scope, now) {
            Refusal::NoMachine { message, hint } => Some(format!("{message}: {hint}")),
            other => Some(other.to_string()),
        };
    }
    list
}

/// Ask all providers anew what they offer
#[utoipa::path(post, path = "/api/v2/flavors/refresh", tag = "hiring",
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ProviderList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Change { .. }: Change<()>,
) -> ApiResult<Json<ProviderList>> {
    app.hiring.refresh(None).await;
    providers(State(app)).await
}

/// Add what providers do not tell by themselves: prices, and flavors of places without
/// an API
#[utoipa::path(post, path = "/api/v2/flavors/import", tag = "hiring", request_body = ImportFlavors,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn import(
    State(app): State<Arc<App>>,
    Change { value, .. }: Change<ImportFlavors>,
) -> ApiResult<StatusCode> {
    let known: Vec<ProviderView> = app.hiring.list();
    for (position, line) in value.flavors.iter().enumerate() {
        if !known.iter().any(|provider| provider.name == line.provider) {
            let names = known.iter().map(|provider| provider.name.as_str());
            let alike = crate::domain::nearest::nearest(line.provider.as_str(), names);
            let error = ApiError::invalid(format!(
                "flavors[{position}]: provider `{}` is not set up",
                line.provider
            ));
            return Err(match alike.first() {
                Some(name) => error.hint(format!("did you mean {name}?")),
                None => error.hint("scitq manage provider list shows which are"),
            });
        }
        for (what, number) in [
            ("ram", line.ram),
            ("disk", line.disk),
            ("cost", line.cost),
            ("eviction", line.eviction),
        ] {
            if let Some(number) = number.filter(|number| !(0.0..1e12).contains(number)) {
                return Err(ApiError::invalid(format!(
                    "flavors[{position}]: {what} {number} is no amount"
                )));
            }
        }
    }
    app.hiring.import(value.flavors).await.map_err(|error| {
        ApiError::new(ErrorCode::Unavailable, format!("the list cannot be kept: {error}"))
            .hint("nothing has changed; make room on the server's disk")
    })?;
    Ok(StatusCode::NO_CONTENT)
}

/// List providers of machines
#[utoipa::path(get, path = "/api/v2/providers", tag = "hiring",
    responses((status = 200, body = ProviderList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn providers(State(app): State<Arc<App>>) -> ApiResult<Json<ProviderList>> {
    let mut providers = app.hiring.list();
    let counts = app.engine.query(|state| {
        let flavors = Arc::clone(&state.hiring.market.flavors);
        let hired: Vec<ProviderName> = state
            .workers
            .values()
            .filter_map(|worker| worker.hire.as_ref().map(|hire| hire.provider.clone()))
            .collect();
        (flavors, hired)
    });
    let (flavors, hired) = counts.await?;
    for provider in &mut providers {
        let is_own = |name: &ProviderName| *name == provider.name;
        provider.flavors = flavors.iter().filter(|flavor| is_own(&flavor.provider)).count() as u64;
        provider.workers = hired.iter().filter(|name| is_own(name)).count() as u64;
    }
    Ok(Json(ProviderList { providers }))
}

/// Ask one provider anew, and compare its machines with those that are known
#[utoipa::path(post, path = "/api/v2/providers/{name}/check", tag = "hiring",
    params(("name" = ProviderName, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = ProviderView), (status = "4XX", body = ErrorBody)))]
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Id(name): Id<ProviderName>,
    Change { .. }: Change<()>,
) -> ApiResult<Json<ProviderView>> {
    app.hiring.refresh(Some(&name)).await;
    app.hiring.sweep().await;
    find_provider(app, &name).await.map(Json)
}

/// What is known of a provider.
async fn find_provider(app: Arc<App>, name: &ProviderName) -> ApiResult<ProviderView> {
    let list = providers(State(app)).await?.0.providers;
    let names: Vec<String> = list.iter().map(|provider| provider.name.to_string()).collect();
    list.into_iter().find(|provider| provider.name == *name).ok_or_else(|| {
        let alike =
            crate::domain::nearest::nearest(name.as_str(), names.iter().map(String::as_str));
        ApiError::not_found(format!("provider `{name}` is not set up")).hint(match alike.first() {
            Some(alike) => format!("did you mean {alike}?"),
            None => format!("providers are {}", names.join(", ")),
        })
    })
}

/// Show the script that prepares a provider's machines
#[utoipa::path(get, path = "/api/v2/providers/{name}/script", tag = "hiring",
    params(("name" = ProviderName, Path), AskScript),
    responses((status = 200, body = ProviderScript), (status = "4XX", body = ErrorBody)))]
pub(super) async fn script(
    State(app): State<Arc<App>>,
    Id(name): Id<ProviderName>,
    Parameters(query): Parameters<AskScript>,
) -> ApiResult<Json<ProviderScript>> {
    find_provider(Arc::clone(&app), &name).await?;
    let flavor = query.flavor.as_deref().unwrap_or("FLAVOR");
    let region = query.region.as_deref().unwrap_or("REGION");
    let script = app.hiring.script(&name, flavor, region);
    let script = script.map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(Json(ProviderScript { script }))
}
