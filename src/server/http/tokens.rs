//! `/api/v2/tokens`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::api::error::ErrorBody;
use crate::api::token::{CreateToken, CreatedToken, TokenList, TokenView};
use crate::domain::{Timestamp, TokenId};

use super::super::auth::{Principal, Secret, TokenHash, TokenLife};
use super::super::engine::command::{Command, Reply};
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;
use super::request::{Change, Id};
use super::tasks::unexpected;

/// Longest life of a token that ends, seconds.
const MAX_LIFE: u64 = 3_155_760_000;
/// Longest name of a token, bytes.
pub(super) const MAX_NAME: usize = 255;

/// List tokens, without their secrets
#[utoipa::path(get, path = "/api/v2/tokens", tag = "tokens",
    responses((status = 200, body = TokenList), (status = "4XX", body = ErrorBody)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> ApiResult<Json<TokenList>> {
    let rows = app.store.readers.list_tokens().await?;
    let uses = app.tokens.last_uses();
    let tokens = rows
        .into_iter()
        .map(|(id, row)| TokenView {
            id,
            name: row.name,
            role: row.role,
            worker: row.worker,
            created_at: row.created_at,
            created_by: row.created_by.to_string(),
            expires_at: row.expires_at,
            last_used_at: uses.get(&id).copied().or(row.last_used_at),
        })
        .collect();
    Ok(Json(TokenList { tokens }))
}

/// Make a token
///
/// Its secret is in this reply and nowhere else. A repetition of the request
/// under the same key therefore cannot be answered, and is a `conflict`.
#[utoipa::path(post, path = "/api/v2/tokens", tag = "tokens", request_body = CreateToken,
    params(("idempotency-key" = Option<String>, Header)),
    responses((status = 201, body = CreatedToken), (status = "4XX", body = ErrorBody)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Change { value, key }: Change<CreateToken>,
) -> ApiResult<(StatusCode, Json<CreatedToken>)> {
    let CreateToken { name, role, expires_in_seconds } = value;
    let expires_at =
        expires_in_seconds.map(|life| end_of(life, app.clock.now().wall)).transpose()?;
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(ApiError::invalid(format!(
            "a token's name is 1 to {MAX_NAME} bytes without control characters"
        )));
    }
    let secret = Secret::generate().map_err(|error| {
        ApiError::new(crate::api::ErrorCode::Internal, format!("no randomness: {error}"))
    })?;
    let hash = secret.hash().0;
    let command = Command::CreateToken { name: name.clone(), role, hash, expires_at };
    let id = match app.engine.apply(&caller.name, command, key).await? {
        Reply::Token(id) => id,
        other => return Err(unexpected(&other)),
    };
    let stored = app.store.readers.list_tokens().await?;
    if !stored.iter().any(|(stored, row)| *stored == id && row.hash == hash) {
        return Err(ApiError::new(
            crate::api::ErrorCode::Conflict,
            format!(
                "token {id} was made by this request before, and its secret is shown once only"
            ),
        )
        .hint(format!("revoke it (scitq manage token revoke {id}) and make another")));
    }
    app.tokens.insert_with(
        TokenHash(hash),
        Principal { token: Some(id), name: name.clone(), role, worker: None },
        TokenLife { expires_at, last_used_at: None },
    );
    let token = app.handed_out(&secret);
    Ok((StatusCode::CREATED, Json(CreatedToken { id, name, role, token })))
}

/// When a token ends that lives for so many seconds from now on.
fn end_of(life: u64, now: Timestamp) -> ApiResult<Timestamp> {
    if !(1..=MAX_LIFE).contains(&life) {
        return Err(ApiError::invalid(format!(
            "expires_in_seconds {life} is not between 1 and {MAX_LIFE} (a hundred years)"
        )));
    }
    let life = i64::try_from(life).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Ok(Timestamp(now.0.saturating_add(life)))
}

/// Revoke a token
#[utoipa::path(delete, path = "/api/v2/tokens/{id}", tag = "tokens",
    params(("id" = TokenId, Path), ("idempotency-key" = Option<String>, Header)),
    responses((status = 204), (status = "4XX", body = ErrorBody)))]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Id(id): Id<TokenId>,
    Change { key, .. }: Change<()>,
) -> ApiResult<StatusCode> {
    app.engine.apply(&caller.name, Command::RevokeToken(id), key).await?;
    Ok(StatusCode::NO_CONTENT)
}
