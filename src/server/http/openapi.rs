//! The routes, and the OpenAPI document that describes them.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::auth::Need;
use super::error::ApiError;
use super::request::MAX_BODY;
use super::{
    App, audit, backup, batches, describe, events, executions, flavors, gate, glance, imports,
    jobs, link, metrics, output, recruiters, status, task_changes, task_list, tasks, tokens, ui,
    workers,
};

#[derive(OpenApi)]
#[openapi(
    info(title = "scitq", description = "A distributed task queue for heavy scientific tasks."),
    // Those that only parameters name are not found by themselves.
    components(schemas(
        crate::api::event::Event,
        crate::api::event::EventKind,
        crate::api::error::ErrorBody,
        crate::api::task::TaskSort,
        crate::domain::execution::Stream,
    ))
)]
struct Head;

type Routes = OpenApiRouter<Arc<App>>;

fn reading() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(task_list::list))
        .routes(routes!(task_list::count))
        .routes(routes!(tasks::show))
        .routes(routes!(tasks::wait))
        .routes(routes!(executions::list))
        .routes(routes!(executions::show))
        .routes(routes!(output::read))
        .routes(routes!(output::times))
        .routes(routes!(workers::list))
        .routes(routes!(workers::show))
        .routes(routes!(batches::list))
        .routes(routes!(batches::show))
        .routes(routes!(status::show))
        .routes(routes!(events::follow))
        .routes(routes!(glance::tails))
        .routes(routes!(glance::samples))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::show))
        .routes(routes!(jobs::log))
        .routes(routes!(flavors::list))
        .routes(routes!(flavors::providers))
        .routes(routes!(recruiters::list))
        .routes(routes!(recruiters::explain))
}

fn changing() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(tasks::create))
        .routes(routes!(task_changes::relaunch))
        .routes(routes!(task_changes::retry_upload))
        .routes(routes!(task_changes::cancel))
        .routes(routes!(task_changes::pause))
        .routes(routes!(task_changes::resume))
        .routes(routes!(task_changes::signal))
        .routes(routes!(task_changes::move_to_batch))
        .routes(routes!(task_changes::edit))
        .routes(routes!(task_changes::delete))
        .routes(routes!(batches::update))
        .routes(routes!(batches::pause))
        .routes(routes!(batches::go))
        .routes(routes!(batches::stop))
        .routes(routes!(batches::kill))
        .routes(routes!(batches::retry))
        .routes(routes!(batches::delete))
        .routes(routes!(workers::update))
        .routes(routes!(workers::delete))
        .routes(routes!(workers::clean))
        .routes(routes!(workers::restart))
        .routes(routes!(workers::adopt_orphans))
        .routes(routes!(workers::abandon_orphans))
        .routes(routes!(jobs::deploy))
        .routes(routes!(jobs::cancel))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::delete))
        .routes(routes!(flavors::refresh))
        .routes(routes!(flavors::check))
        .routes(routes!(recruiters::set))
        .routes(routes!(recruiters::delete))
}

fn administering() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(backup::take))
        .routes(routes!(audit::list))
        .routes(routes!(tokens::list))
        .routes(routes!(tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(imports::tasks))
        .routes(routes!(imports::worker))
        .routes(routes!(flavors::import))
        .routes(routes!(flavors::script))
}

fn joining() -> Routes {
    OpenApiRouter::new().routes(routes!(link::open)).routes(routes!(jobs::agent_binary))
}

/// The OpenAPI 3.1 document of `/api/v2`.
#[must_use]
pub fn document() -> Document {
    let mut document = Head::openapi();
    for routes in [reading(), changing(), administering(), joining()] {
        document.merge(routes.split_for_parts().1);
    }
    describe::complete(&mut document);
    document
}

/// Everything that the server answers.
pub(super) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for (described, need) in [
        (reading(), Need::Read),
        (changing(), Need::Change),
        (administering(), Need::Administer),
        (joining(), Need::JoinWorker),
    ] {
        router = router.merge(gate::require(described.into(), app, need));
    }
    let text: Arc<str> = document().to_json().unwrap_or_default().into();
    let describe = async move || ([(CONTENT_TYPE, "application/json")], text.to_string());
    let healthy = Arc::clone(app);
    let health = move || {
        let app = Arc::clone(&healthy);
        async move { status::health(&app) }
    };
    let figures = Router::new().route("/metrics", axum::routing::get(metrics::show));
    router = router.merge(gate::require(figures, app, Need::Read));
    let mut router = router.with_state(Arc::clone(app));
    if let Some(routes) = super::super::v1::router(app) {
        router = router.merge(routes);
    }
    let router = router
        .route("/healthz", axum::routing::get(health))
        .route("/api/v2/openapi.json", axum::routing::get(describe))
        .route("/ui", axum::routing::get(ui::page))
        .route("/ui/", axum::routing::get(ui::page))
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(MAX_BODY));
    gate::number(router, &app.counts)
}

async fn no_route(uri: Uri) -> ApiError {
    ApiError::not_found(format!("there is no route {}", uri.path()))
        .hint("GET /api/v2/openapi.json lists all routes")
}

async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::invalid(format!("{} takes no {method}", uri.path()))
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .hint("GET /api/v2/openapi.json lists all routes")
}

#[cfg(test)]
mod tests {
    use strum::IntoEnumIterator;
    use utoipa::openapi::path::{Operation, PathItem};

    use super::*;
    use crate::api::token::Role;
    use crate::server::auth::allows;

    fn operations(item: &PathItem) -> Vec<(&'static str, &Operation)> {
        let all = [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ];
        all.into_iter().filter_map(|(method, found)| Some((method, found.as_ref()?))).collect()
    }

    /// Which role may use which route.
    fn table_of_roles() -> String {
        let mut rows = Vec::new();
        for (routes, need) in [
            (reading(), Need::Read),
            (changing(), Need::Change),
            (administering(), Need::Administer),
            (joining(), Need::JoinWorker),
        ] {
            for (path, item) in routes.split_for_parts().1.paths.paths {
                for (method, operation) in operations(&item) {
                    let may = Role::iter().map(|role| if allows(role, need) { "yes" } else { "" });
                    let may: Vec<&str> = may.collect();
                    let what = operation.summary.as_deref().unwrap_or_default();
                    let row = format!("| `{method} {path}` | {what} | {} |", may.join(" | "));
                    rows.push((path.clone(), row));
                }
            }
        }
        rows.sort();
        let roles: Vec<String> = Role::iter().map(|role| format!("`{role}`")).collect();
        let head = format!(
            "| route | | {} |\n|---|---|{}\n",
            roles.join(" | "),
            "---|".repeat(roles.len())
        );
        let rows: Vec<String> = rows.into_iter().map(|(_, row)| row + "\n").collect();
        head + &rows.concat()
    }

    /// `SCITQ_BLESS=1` rewrites it.
    #[test]
    fn the_page_on_security_says_who_may_do_what() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/security.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once("<!-- routes -->\n").unwrap();
        let (table, after) = rest.split_once("<!-- end of routes -->\n").unwrap();
        let expected = table_of_roles();
        if std::env::var_os("SCITQ_BLESS").is_some() {
            let whole =
                format!("{before}<!-- routes -->\n{expected}<!-- end of routes -->\n{after}");
            std::fs::write(path, whole).unwrap();
            return;
        }
        assert!(table == expected, "docs/security.md is stale: run the tests with SCITQ_BLESS=1");
    }

    /// `docs/openapi.json` is the contract that clients read; `SCITQ_BLESS=1` rewrites it.
    #[test]
    fn the_committed_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
        let text = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("SCITQ_BLESS").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == text, "docs/openapi.json is stale: run the tests with SCITQ_BLESS=1");
        assert!(text.contains("\"openapi\": \"3.1"));
        for (_, place) in text.match_indices("\"#/").map(|(start, _)| text.split_at(start + 2)) {
            let place = place.split('"').next().unwrap();
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(document.pointer(place).is_some(), "the document has no {place}");
        }
    }
}
