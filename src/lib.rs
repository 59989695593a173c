//! A call log that a person understands, and one notification when an Asterisk call really ends.
//!
//! ```text
//!  feed/agi ──┐
//!  feed/ami   │
//!  feed/spool ├─> Event ──> intake ──> call (pure) ──> store ──> notify ──> the world
//!  feed/push  │             one door                     │
//!  feed/cdr ──┘             for writing                  └──> api · cli   (read)
//! ```
//!
//! A feed makes [`event::Event`]s of what it hears and hands them to the one door, [`intake`]. There they are
//! made durable, and only then does the feed get its answer. Behind the door the calls that they touch are
//! folded again by the pure [`call`] and written with everything that follows from them, in one transaction.
//! [`notify`] sends what that transaction put into the outbox. [`serve`] wires all of it.
//!
//! Who may import what is held by `tests/it/layout.rs`, which reads this table:
//!
//! | module | may import from the crate |
//! |---|---|
//! | event, config, observe, clock, caller, wire.rs, retry.rs, sign.rs | nothing |
//! | call | event |
//! | store | event, call, clock |
//! | intake | event, call, store, clock |
//! | feed | event, intake, clock, config, caller |
//! | database.rs | feed, event, store |
//! | notify | store, clock, config |
//! | reconcile | event, feed, intake, store, call, clock, config |
//! | api | store, event, call, config, notify, observe, clock, caller |
//! | serve | everything |
//! | cli | everything but api |
//!
//! `database.rs` is the feed that reads the databases Asterisk writes its records to, by [`store::foreign`]: the one
//! feed that may see the store, and it sees no more of it than that.
//!
//! The same test holds that only `clock` asks for the present, only `store` knows diesel, and only a `wire.rs`
//! knows nom.

pub mod event;

pub mod feed;

pub mod intake;

pub mod call;

pub mod store;

pub mod notify;

pub mod reconcile;

pub mod api;
pub mod cli;

pub mod caller;
pub mod clock;
pub mod config;
pub mod observe;
pub mod serve;
