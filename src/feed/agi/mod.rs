//! x
/// x
pub mod wire;
