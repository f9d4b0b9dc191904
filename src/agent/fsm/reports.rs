//! Reports on their way to the server over the present link.

use std::collections::VecDeque;
use std::time::Duration;

use crate::api::link::{Report, ReportEvent};
use crate::domain::{ExecutionId, Monotonic};

/// Most reports in one frame.
const MAX_BATCH: usize = 1_000;

/// The queue, and the batches that are not acknowledged. Emptied when the link
/// goes down: what was not acknowledged follows again from the state.
#[derive(Debug)]
pub struct Reports {
    queue: VecDeque<Report>,
    in_flight: VecDeque<Batch>,
    last_number: u64,
    /// Since when the first of the queue could have been sent.
    waiting_since: Option<Monotonic>,
}

/// One frame of reports that was sent.
#[derive(Debug)]
pub struct Batch {
    pub number: u64,
    pub sent_at: Monotonic,
    pub reports: Vec<(ExecutionId, ReportKind)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportKind {
    Accepted,
    Started,
    Uploading,
    Finished,
}

impl Reports {
    pub const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            last_number: 0,
            waiting_since: None,
        }
    }

    pub fn push(&mut self, report: Report) {
        self.queue.push_back(report);
    }

    /// All that is queued, as one numbered batch. None if there is nothing, or
    /// if the first of it shall wait a little longer for others.
    pub fn next_batch(&mut self, now: Monotonic, patience: Duration) -> Option<(u64, Vec<Report>)> {
        if self.queue.is_empty() {
            return None;
        }
        let since = *self.waiting_since.get_or_insert(now);
        if now.since(since) < patience {
            return None;
        }
        self.waiting_since = None;
        let count = self.queue.len().min(MAX_BATCH);
        let reports: Vec<Report> = self.queue.drain(..count).collect();
        self.last_number += 1;
        self.in_flight.push_back(Batch {
            number: self.last_number,
            sent_at: now,
            reports: reports.iter().map(|report| (report.execution, kind(report))).collect(),
        });
        Some((self.last_number, reports))
    }

    /// Takes back what is queued of an execution of which nothing shall be told.
    pub fn withdraw(&mut self, execution: ExecutionId) {
        self.queue.retain(|report| report.execution != execution);
        if self.queue.is_empty() {
            self.waiting_since = None;
        }
    }

    /// The batch of that number, if it is under way.
    pub fn on_ack(&mut self, number: u64) -> Option<Batch> {
        let position = self.in_flight.iter().position(|batch| batch.number == number)?;
        self.in_flight.remove(position)
    }

    /// When the queue has waited for so long; none when nothing waits.
    pub fn due_at(&self, patience: Duration) -> Option<Monotonic> {
        self.waiting_since.map(|since| since.after(patience))
    }

    pub fn clear(&mut self) {
        self.queue.clear();
        self.in_flight.clear();
        self.waiting_since = None;
    }
}

const fn kind(report: &Report) -> ReportKind {
    match report.event {
        ReportEvent::Accepted => ReportKind::Accepted,
        ReportEvent::Started => ReportKind::Started,
        ReportEvent::Uploading { .. } => ReportKind::Uploading,
        ReportEvent::Finished { .. } => ReportKind::Finished,
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::{TaskId, Timestamp};

    use super::*;

    fn report(execution: u64) -> Report {
        Report {
            execution: ExecutionId(execution),
            task: TaskId(1),
            revision: 0,
            at: Timestamp(0),
            event: ReportEvent::Started,
        }
    }

    #[test]
    fn what_is_queued_goes_in_one_numbered_batch_and_is_named_by_its_ack() {
        let mut reports = Reports::new();
        let now = Monotonic(Duration::ZERO);
        assert!(reports.next_batch(now, Duration::ZERO).is_none());
        reports.push(report(1));
        reports.push(report(2));
        assert_eq!(
            reports.next_batch(now, Duration::ZERO).unwrap(),
            (1, vec![report(1), report(2)])
        );
        reports.push(report(3));
        assert_eq!(reports.next_batch(now, Duration::ZERO).unwrap(), (2, vec![report(3)]));
        let batch = reports.on_ack(2).unwrap();
        assert_eq!(batch.reports, [(ExecutionId(3), ReportKind::Started)]);
        assert!(reports.on_ack(2).is_none());
        reports.clear();
        assert!(reports.on_ack(1).is_none());
        reports.push(report(4));
        assert_eq!(
            reports.next_batch(now, Duration::ZERO).unwrap().0,
            3,
            "numbers are not used twice"
        );
    }

    #[test]
    fn reports_may_wait_for_others_but_not_for_ever() {
        let mut reports = Reports::new();
        let patience = Duration::from_millis(4);
        let at = |millis| Monotonic(Duration::from_millis(millis));
        assert_eq!(reports.due_at(patience), None);
        reports.push(report(1));
        assert!(reports.next_batch(at(10), patience).is_none());
        reports.push(report(2));
        assert!(reports.next_batch(at(13), patience).is_none());
        assert_eq!(reports.due_at(patience), Some(at(14)));
        assert_eq!(reports.next_batch(at(14), patience).unwrap().1.len(), 2);
        assert_eq!(reports.due_at(patience), None);
        reports.push(report(4));
        assert!(reports.next_batch(at(15), patience).is_none());
        reports.withdraw(ExecutionId(4));
        assert_eq!(reports.due_at(patience), None);
        reports.push(report(3));
        assert!(reports.next_batch(at(15), patience).is_none());
        assert!(reports.next_batch(at(15), Duration::ZERO).is_some(), "it is wanted at once");
    }

    #[test]
    fn what_waits_to_be_told_of_an_orphan_is_not_told() {
        let mut reports = Reports::new();
        let (now, patience) = (Monotonic(Duration::ZERO), Duration::from_millis(10));
        for execution in [1, 2, 1] {
            reports.push(report(execution));
        }
        assert!(reports.next_batch(now, patience).is_none());
        reports.withdraw(ExecutionId(1));
        let (_, sent) = reports.next_batch(now.after(patience), patience).unwrap();
        assert_eq!(sent, [report(2)]);
        reports.push(report(3));
        assert!(reports.next_batch(now, patience).is_none());
        reports.withdraw(ExecutionId(3));
        assert_eq!(reports.due_at(patience), None);
    }
}
