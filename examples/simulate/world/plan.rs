//! What will be done to a world: all of it follows from a seed, and any part of
//! it can be left out.

use super::calendar::{MINUTE, Moment, SECOND};
use super::chance::Chance;
use super::disturbance::{BatchVerb, Disturbance, Dying, Verb, WorkerChange};

/// A world, and what is done to it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub agents: Vec<AgentPlan>,
    /// Silence after which a worker has lost its tasks, seconds.
    pub lost_after: u64,
    /// Parts in a million by which the server's clock is too fast.
    pub drift: i64,
    /// When no more faults come.
    pub quiet_at: Moment,
    pub disturbances: Vec<(Moment, Disturbance)>,
}

#[derive(Debug, Clone)]
pub struct AgentPlan {
    pub concurrency: u32,
    pub prefetch: u32,
    /// Parts in a million by which its clock is too fast.
    pub drift: i64,
    /// Microseconds by which its date is ahead.
    pub ahead: i64,
}

/// Clocks differ by so much in the hour, in parts in a million.
const DRIFT: u64 = 5_000;

impl Plan {
    /// The plan of this seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed, &[1]);
        let count = chance.between(1, 5);
        let agents = (0..count).map(|_| agent(&mut chance)).collect::<Vec<_>>();
        let lost_after = *chance.pick(&[60, 60, 60, 60, 120, 600]).unwrap_or(&60);
        let quiet_at = chance.between(MINUTE, 3 * MINUTE) + lost_after / 60 * MINUTE;
        // Most lives have few kinds of trouble, so that each is met alone too.
        let calm = chance.below(4);
        let faults = chance.between(0, 12) * (4 - calm) / 2;
        let wishes = chance.between(1, 16);
        let mut disturbances = vec![(0, queue(&mut chance))];
        // Much of it comes together: trouble shows where it meets other trouble.
        let crises: Vec<Moment> =
            (0..chance.between(1, 3)).map(|_| chance.below(quiet_at)).collect();
        for _ in 0..wishes {
            let wish = wish(&mut chance, count);
            disturbances.push((moment(&mut chance, &crises, quiet_at), wish));
        }
        for _ in 0..faults {
            let fault = fault(&mut chance, count, lost_after);
            disturbances.push((moment(&mut chance, &crises, quiet_at), fault));
        }
        disturbances.sort_by_key(|(at, _)| *at);
        let drift = drift(&mut chance);
        Self { seed, agents, lost_after, drift, quiet_at, disturbances }
    }
}

fn moment(chance: &mut Chance, crises: &[Moment], quiet_at: Moment) -> Moment {
    match chance.pick(crises) {
        Some(center) if !chance.one_in(3) => *center + chance.spread(SECOND / 1_000, 8 * SECOND),
        _ => chance.below(quiet_at),
    }
}

fn agent(chance: &mut Chance) -> AgentPlan {
    let hour = 60 * MINUTE;
    AgentPlan {
        concurrency: u32::try_from(chance.between(1, 3)).unwrap_or(1),
        prefetch: u32::try_from(chance.between(0, 2)).unwrap_or(0),
        drift: drift(chance),
        ahead: i64::try_from(chance.below(hour)).unwrap_or(0) - (hour / 2).cast_signed(),
    }
}

fn drift(chance: &mut Chance) -> i64 {
    chance.below(2 * DRIFT).cast_signed() - DRIFT.cast_signed()
}

fn queue(chance: &mut Chance) -> Disturbance {
    Disturbance::Queue { count: chance.spread(1, 16), style: chance.number() }
}

/// What people do.
fn wish(chance: &mut Chance, agents: u64) -> Disturbance {
    let verbs = [
        Verb::Cancel,
        Verb::Kill,
        Verb::Signal,
        Verb::Pause,
        Verb::Resume,
        Verb::Relaunch,
        Verb::Delete,
    ];
    let agent = usize::try_from(chance.below(agents)).unwrap_or(0);
    match chance.below(20) {
        0..=5 => queue(chance),
        6..=11 => {
            let verb = chance.pick(&verbs).copied().unwrap_or(Verb::Cancel);
            let count = chance.between(1, 3);
            Disturbance::Tasks { verb, tasks: (0..count).map(|_| chance.number()).collect() }
        }
        12..=14 => Disturbance::Edit { task: chance.number(), style: chance.number() },
        15 => Disturbance::Move { task: chance.number(), batch: chance.below(2) },
        16 | 17 => {
            let verbs =
                [BatchVerb::Pause, BatchVerb::Freeze, BatchVerb::Go, BatchVerb::Go, BatchVerb::End];
            let verb = chance.pick(&verbs).copied().unwrap_or(BatchVerb::Go);
            Disturbance::Batch { verb, batch: chance.below(2) }
        }
        _ => {
            let slots = WorkerChange::Slots {
                concurrency: u32::try_from(chance.below(4)).unwrap_or(0),
                prefetch: u32::try_from(chance.below(3)).unwrap_or(0),
            };
            let batch = WorkerChange::Batch(chance.below(2));
            let changes = [
                slots,
                slots,
                WorkerChange::Pause,
                WorkerChange::Run,
                batch,
                WorkerChange::Restart,
                WorkerChange::Delete,
            ];
            let wanted = chance.pick(&changes).copied().unwrap_or(WorkerChange::Run);
            Disturbance::Worker { agent, change: wanted }
        }
    }
}

/// What goes wrong.
fn fault(chance: &mut Chance, agents: u64, lost_after: u64) -> Disturbance {
    let agent = usize::try_from(chance.below(agents)).unwrap_or(0);
    let long = (lost_after + 40) * SECOND;
    let time = chance.spread(SECOND / 100, long);
    let short = chance.spread(SECOND / 100, 20 * SECOND);
    let hour = (60 * MINUTE).cast_signed();
    let jump = if chance.one_in(2) { hour } else { -hour };
    match chance.below(24) {
        0..=2 => Disturbance::KillServer { down: short },
        3..=5 => {
            let when = if chance.one_in(2) { Dying::Idle } else { Dying::BeforeWriting };
            Disturbance::KillAgent {
                agent,
                down: if chance.one_in(4) { time } else { short },
                when,
            }
        }
        6 => Disturbance::KillSupervisor { agent },
        7 => Disturbance::Crash { agent, down: time },
        8 => Disturbance::Suspend { agent, time },
        9 => Disturbance::SuspendServer { time },
        10..=12 => Disturbance::Cut { agent, time },
        13..=14 => Disturbance::Stall { agent, time },
        15 => Disturbance::Duplicate { agent, time },
        16 => Disturbance::LoseReplies { time: short },
        17 => Disturbance::SlowDisk { time },
        18..=19 => Disturbance::FullDisk { time: short },
        20 => Disturbance::FailCommit,
        21 => Disturbance::FullAgentDisk { agent, time: short },
        22 => Disturbance::ServerDate { jump },
        _ => Disturbance::AgentDate { agent, jump },
    }
}
