//! An engine without a thread of its own: whoever holds it says when it works.
//! With a writer of the same kind ([`Store::open_stepped`]) and a clock that is
//! set by hand, a server's life is a function of what happens to it.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::domain::time::Clock;

use super::super::store::{Store, StoreError, Writer};
use super::State;
use super::owner::Owner;
use super::service::{Audience, Engine, Message};
use super::state::Policy;

/// The engine's loop, one turn at a time.
pub struct SteppedEngine {
    owner: Owner,
    incoming: Receiver<Message>,
}

impl SteppedEngine {
    /// Loads the state from the store.
    pub fn start(
        store: Arc<Store>,
        writer: Writer,
        clock: Arc<dyn Clock>,
        audience: Arc<dyn Audience>,
        policy: Policy,
    ) -> Result<(Engine, Self), StoreError> {
        let (engine, owner, incoming) = Engine::prepare(store, writer, clock, audience, policy)?;
        Ok((engine, Self { owner, incoming }))
    }

    /// Handles all that waits, looks at the clock, and hands over what is to be
    /// stored if the writer is free.
    pub fn turn(&mut self) {
        self.owner.turn(None, &self.incoming);
    }

    #[must_use]
    pub const fn state(&self) -> &State {
        &self.owner.state
    }
}

impl fmt::Debug for SteppedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedEngine").finish_non_exhaustive()
    }
}
