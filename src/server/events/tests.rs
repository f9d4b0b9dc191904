//! The hub in paused time: it moves only when everyone waits.

use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::domain::BatchName;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;

const START: Timestamp = Timestamp(1_700_000_000_000_000);
const STATES: [TaskState; 4] =
    [TaskState::Pending, TaskState::Assigned, TaskState::Running, TaskState::Succeeded];

fn batch(name: &str) -> BatchName {
    name.parse().unwrap()
}

fn task(id: u64, state: TaskState) -> Event {
    Event::Task { id: TaskId(id), batch: batch("a"), state, execution: None, left: None }
}

fn everything() -> FollowEvents {
    FollowEvents::default()
}

/// All that can be had without time passing, as (number, event).
fn at_once(subscription: &mut Subscription) -> Vec<(u64, Event)> {
    std::iter::from_fn(|| subscription.next().now_or_never().flatten())
        .map(|(id, event)| {
            assert_eq!(id.server_start, START);
            (id.number, event)
        })
        .collect()
}

fn events_at_once(subscription: &mut Subscription) -> Vec<Event> {
    at_once(subscription).into_iter().map(|(_, event)| event).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_event_goes_out_at_once_and_later_ones_as_the_latest_state() {
    let hub = EventHub::new(START);
    let mut follower = hub.subscribe(everything(), None);
    hub.publish([task(1, TaskState::Pending)]);
    assert_eq!(at_once(&mut follower), [(1, task(1, TaskState::Pending))]);

    hub.publish([task(1, TaskState::Assigned), task(1, TaskState::Accepted)]);
    hub.publish([task(2, TaskState::Pending), task(1, TaskState::Running)]);
    // What was held back (number 3, replaced by 5) is not behind the follower.
    assert_eq!(at_once(&mut follower), [(4, task(2, TaskState::Pending))]);
    advance(Duration::from_millis(49)).await;
    assert_eq!(at_once(&mut follower), []);
    advance(Duration::from_millis(1)).await;
    assert_eq!(at_once(&mut follower), [(5, task(1, TaskState::Running))]);

    hub.publish([task(1, TaskState::Succeeded)]);
    assert_eq!(at_once(&mut follower), [], "the next window of the object is open");
    let begin = Instant::now();
    assert_eq!(follower.next().await.unwrap().1, task(1, TaskState::Succeeded));
    assert_eq!(begin.elapsed(), WINDOW);

    advance(WINDOW).await;
    assert_eq!(at_once(&mut follower), []);
    hub.publish([task(1, TaskState::Pending)]);
    assert_eq!(at_once(&mut follower), [(7, task(1, TaskState::Pending))]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_follower_is_woken_by_news() {
    let hub = EventHub::new(START);
    let mut follower = hub.subscribe(everything(), None);
    let waiting = tokio::spawn(async move { follower.next().await });
    tokio::task::yield_now().await;
    hub.publish([task(1, TaskState::Pending)]);
    let (id, event) = waiting.await.unwrap().unwrap();
    assert_eq!(
        (id.to_string(), event),
        ("1700000000000000-1".to_owned(), task(1, TaskState::Pending))
    );
}

#[tokio::test(start_paused = true)]
async fn each_follower_gets_what_it_asked_for() {
    let hub = EventHub::new(START);
    let of_task = FollowEvents { task: Some(TaskId(1)), ..everything() };
    let of_batch = FollowEvents { batch: Some(batch("b")), ..everything() };
    let of_workers = FollowEvents { kind: Some(EventKind::Worker), ..everything() };
    let mut followers =
        [everything(), of_task, of_batch, of_workers].map(|filter| hub.subscribe(filter, None));

    let worker = Event::Worker { id: WorkerId(1), batch: batch("b"), state: WorkerState::Running };
    let gone = Event::TaskDeleted { id: TaskId(2), batch: batch("b") };
    let all = [task(1, TaskState::Pending), worker.clone(), gone.clone()];
    hub.publish(all.clone());
    let seen = followers.each_mut().map(events_at_once);
    assert_eq!(
        seen,
        [all.to_vec(), vec![task(1, TaskState::Pending)], vec![worker.clone(), gone], vec![worker]]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_that_leaves_a_batch_is_told_to_those_who_follow_it() {
    let hub = EventHub::new(START);
    let of = |name| FollowEvents { batch: Some(batch(name)), ..FollowEvents::default() };
    let mut followers = ["a", "b", "c"].map(|name| hub.subscribe(of(name), None));
    let moved = Event::Task {
        id: TaskId(1),
        batch: batch("b"),
        state: TaskState::Pending,
        execution: None,
        left: Some(batch("a")),
    };
    hub.publish([moved.clone()]);
    let heard = followers.each_mut().map(events_at_once);
    assert_eq!(heard, [vec![moved.clone()], vec![moved], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_goes_on_where_it_was() {
    let hub = EventHub::with_capacity(START, 3);
    hub.publish((1..=5).map(|id| task(id, TaskState::Pending)));
    let numbers = |last: &str| -> Vec<u64> {
        let mut follower = hub.subscribe(everything(), Some(last));
        let events = at_once(&mut follower);
        match events.as_slice() {
            [(5, Event::Reset)] => vec![0],
            _ => events.into_iter().map(|(number, _)| number).collect(),
        }
    };
    let reset = vec![0];
    assert_eq!(numbers("1700000000000000-5"), Vec::<u64>::new());
    assert_eq!(numbers("1700000000000000-4"), [5]);
    assert_eq!(numbers("1700000000000000-2"), [3, 4, 5]);
    assert_eq!(numbers("1700000000000000-1"), reset, "too old");
    assert_eq!(numbers("1700000000000000-6"), reset, "not yet");
    assert_eq!(numbers("1600000000000000-4"), reset, "of another run");
    assert_eq!(numbers("rubbish"), reset);
}

#[tokio::test(start_paused = true)]
async fn one_that_falls_behind_is_told_to_read_again() {
    let hub = EventHub::with_capacity(START, 10);
    let mut follower = hub.subscribe(everything(), None);
    hub.publish([task(1, TaskState::Pending)]);
    assert_eq!(at_once(&mut follower).len(), 1);
    hub.publish((1..=11).map(|id| task(id, TaskState::Running)));
    assert_eq!(at_once(&mut follower), [(12, Event::Reset)]);
    hub.publish([task(1, TaskState::Succeeded)]);
    assert_eq!(at_once(&mut follower), [(13, task(1, TaskState::Succeeded))]);
}

#[tokio::test(start_paused = true)]
async fn closing_gives_out_what_is_held_and_then_ends() {
    let hub = EventHub::new(START);
    let follower = hub.subscribe(everything(), None);
    hub.publish([task(1, TaskState::Pending), task(2, TaskState::Pending)]);
    hub.publish([task(1, TaskState::Running), task(2, TaskState::Succeeded)]);
    hub.close();
    let events: Vec<Event> = follower.into_stream().map(|(_, event)| event).collect().await;
    assert_eq!(
        events,
        [
            task(1, TaskState::Pending),
            task(2, TaskState::Pending),
            task(1, TaskState::Running),
            task(2, TaskState::Succeeded)
        ]
    );
}

#[test]
fn ids_are_read_as_they_are_written() {
    let id = EventId { server_start: START, number: 77 };
    assert_eq!(id.to_string().parse(), Ok(id));
    let before_1970 = EventId { server_start: Timestamp(-5), number: 0 };
    assert_eq!(before_1970.to_string().parse(), Ok(before_1970));
    for rubbish in ["", "-", "5", "5-", "-5", "a-5", "5-5x"] {
        assert!(rubbish.parse::<EventId>().is_err(), "{rubbish}");
    }
}

proptest! {
    /// However a follower reads, breaks off and comes back: with what it was
    /// given it knows the latest state of every task in the end.
    #[test]
    fn nothing_is_missed_over_reconnects(
        steps in prop::collection::vec((0..6u64, 0..4usize, 0..3u8, 0..70u64), 1..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let hub = EventHub::new(START);
            let mut follower = hub.subscribe(everything(), None);
            let mut last_id = follower.id(0).to_string();
            let mut truth = FxHashMap::default();
            let mut known = FxHashMap::default();
            let mut learn = |id: EventId, event: Event, last_id: &mut String| {
                assert!(id.number >= last_id.parse::<EventId>().unwrap().number);
                *last_id = id.to_string();
                if let Event::Task { id, state, .. } = event {
                    known.insert(id, state);
                }
            };
            for (id, state, action, milliseconds) in steps {
                hub.publish([task(id, STATES[state])]);
                truth.insert(TaskId(id), STATES[state]);
                match action {
                    0 => advance(Duration::from_millis(milliseconds)).await,
                    1 => follower = hub.subscribe(everything(), Some(&last_id)),
                    _ => {}
                }
                for _ in 0..milliseconds % 4 {
                    if let Some(Some((id, event))) = follower.next().now_or_never() {
                        learn(id, event, &mut last_id);
                    }
                }
            }
            follower = hub.subscribe(everything(), Some(&last_id));
            hub.close();
            while let Some((id, event)) = follower.next().await {
                learn(id, event, &mut last_id);
            }
            assert_eq!(known, truth);
        });
    }
}
