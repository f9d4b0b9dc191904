//! Tokens: made, bound to workers, revoked.

use crate::api::token::Role;
use crate::domain::{Timestamp, TokenId, WorkerId};

use super::change::TokenRow;
use super::state::State;
use super::track::audit;
use super::{Context, Effect, Refusal, Reply};

impl State {
    pub(super) fn create_token(
        &mut self,
        context: &mut Context<'_>,
        name: String,
        role: Role,
        hash: [u8; 32],
        expires_at: Option<Timestamp>,
    ) -> Reply {
        let row = TokenRow {
            name,
            role,
            worker: None,
            hash,
            join_until: None,
            created_at: context.now.wall,
            created_by: context.actor.clone(),
            expires_at,
            last_used_at: None,
        };
        let detail = format!("{role} {}", row.name);
        let id = self.add_token(context, row);
        audit(context, "token.create", format!("{id} {detail}"));
        Reply::Token(id)
    }

    pub(super) fn revoke_token(
        &mut self,
        context: &mut Context<'_>,
        id: TokenId,
    ) -> Result<Reply, Refusal> {
        if self.tokens.remove(&id).is_none() {
            return Err(Refusal::NoToken(id));
        }
        audit(context, "token.revoke", id.to_string());
        context.changes.tokens.insert(id, None);
        context.effects.push(Effect::TokensRevoked(vec![id]));
        Ok(Reply::Token(id))
    }

    /// Records when tokens were used; those that were revoked since are gone.
    pub(super) fn use_tokens(
        &self,
        context: &mut Context<'_>,
        used: Vec<(TokenId, Timestamp)>,
    ) -> Reply {
        let known = used.into_iter().filter(|(id, _)| self.tokens.contains_key(id));
        context.changes.used_tokens.extend(known);
        Reply::Done
    }

    pub(super) fn add_token(&mut self, context: &mut Context<'_>, row: TokenRow) -> TokenId {
        let id = self.next.token;
        self.next.token = id.next();
        self.record_next_ids(context);
        self.tokens.insert(id, row.worker);
        context.changes.tokens.insert(id, Some(row));
        id
    }

    /// Takes away the tokens that are bound to a worker.
    pub(super) fn revoke_tokens_of(
        &mut self,
        context: &mut Context<'_>,
        worker: WorkerId,
    ) -> Vec<TokenId> {
        let bound: Vec<TokenId> = self
            .tokens
            .iter()
            .filter(|(_, bound)| **bound == Some(worker))
            .map(|(id, _)| *id)
            .collect();
        for id in &bound {
            self.tokens.remove(id);
            context.changes.tokens.insert(*id, None);
        }
        bound
    }
}
