//! `/api/v2/audit`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::api::audit::{AuditPage, ListAudit};
use crate::api::error::ErrorBody;

use super::App;
use super::error::ApiResult;
use super::request::{Parameters, page_size};

/// List who did what, the latest first
#[utoipa::path(get, path = "/api/v2/audit", tag = "server", params(ListAudit),
    responses((status = 200, body = AuditPage), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<ListAudit>,
) -> ApiResult<Json<AuditPage>> {
    let limit = page_size(query.limit)?;
    let entries = app.store.readers.list_audit(query, limit).await?;
    Ok(Json(AuditPage { entries }))
}
