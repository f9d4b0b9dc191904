//! The least that still goes wrong.

use std::path::Path;

use super::life::{Failure, live};
use super::plan::Plan;
use super::trace::Trace;

/// Leaves out what a failure does not need: halves, quarters and so on down to
/// single disturbances, then agents.
///
/// # Errors
/// The folder cannot be used.
pub fn shrink(plan: Plan, failure: &Failure, folder: &Path) -> std::io::Result<Plan> {
    let mut best = plan;
    let mut part = best.disturbances.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut has_shrunk = false;
        while from < best.disturbances.len() {
            let until = (from + part).min(best.disturbances.len());
            let mut less = best.clone();
            less.disturbances.drain(from..until);
            if fails_alike(&less, failure, folder)? {
                best = less;
                has_shrunk = true;
            } else {
                from = until;
            }
        }
        if part == 1 && !has_shrunk {
            break;
        }
        part = (part / 2).max(1);
    }
    shrink_agents(best, failure, folder)
}

fn shrink_agents(mut best: Plan, failure: &Failure, folder: &Path) -> std::io::Result<Plan> {
    while best.agents.len() > 1 {
        let mut less = best.clone();
        less.agents.pop();
        let left = less.agents.len();
        less.disturbances.retain(|(_, disturbance)| disturbance.agent().is_none_or(|it| it < left));
        if !fails_alike(&less, failure, folder)? {
            break;
        }
        best = less;
    }
    Ok(best)
}

fn fails_alike(plan: &Plan, failure: &Failure, folder: &Path) -> std::io::Result<bool> {
    let outcome = live(plan, folder, Trace::default())?;
    Ok(outcome.failure.is_some_and(|other| other.kind() == failure.kind()))
}
