//! A whole scitq in one thread and in made-up time: people, one server with its
//! database, agents with their machines, and the network between them.
//!
//! What decides is the code that `serve` and `agent` run: the engine with its
//! store, the server's end of the link, the agent's state machine with its desk
//! and its journal. What is simulated is what those touch: clocks, disks,
//! sockets, commands. A life is a function of its [`Plan`], so whatever goes
//! wrong in it goes wrong again.

#![expect(clippy::match_same_arms, reason = "each kind says for itself what it leads to")]
#![expect(clippy::cast_precision_loss, reason = "seconds for people")]
#![expect(clippy::option_option, reason = "nothing to say is not the end of the link")]
#![expect(clippy::unused_self, reason = "what a command does may come to depend on its style")]
#![expect(clippy::needless_pass_by_value, reason = "a frame that is sent is gone")]

mod agent;
mod calendar;
mod chance;
mod clock;
mod disturb;
mod disturbance;
mod end;
mod hands;
pub mod life;
mod machine;
mod output;
mod people;
mod plan;
mod rules;
mod server;
mod session;
mod shrink;
mod trace;
mod wire;

pub use life::live;
pub use plan::Plan;
pub use shrink::shrink;
pub use trace::Trace;
