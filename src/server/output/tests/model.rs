//! Random calls, restarts and kills against a vector of bytes.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::OutputError;
use super::*;

const LIMIT: u64 = 3000;

#[derive(Debug, Clone)]
enum Step {
    /// Appends `new` bytes after repeating the last `repeated`.
    Append {
        stream: u64,
        repeated: usize,
        new: usize,
    },
    /// Appends behind a gap.
    Gap {
        stream: u64,
        by: u64,
    },
    Read {
        stream: u64,
        offset: u64,
        limit: u64,
    },
    Sync {
        stream: u64,
    },
    Delete {
        stream: u64,
    },
    FullDisk {
        stream: u64,
        new: usize,
    },
    FailedSync {
        stream: u64,
    },
    Restart,
    Kill,
}

/// One stream as it should be.
#[derive(Debug, Default)]
struct Model {
    bytes: Vec<u8>,
    /// So many of them were promised to survive a kill.
    synced: usize,
}

struct World {
    directory: TempDir,
    store: OutputStore,
    models: BTreeMap<u64, Model>,
}

fn settings() -> OutputSettings {
    OutputSettings { limit_per_stream: LIMIT, batch_size: 800, ..small() }
}

fn any_step() -> impl Strategy<Value = Step> {
    let stream = 1..4u64;
    prop_oneof![
        12 => (stream.clone(), 0..400usize, 0..700usize)
            .prop_map(|(stream, repeated, new)| Step::Append { stream, repeated, new }),
        1 => (stream.clone(), 1..100u64).prop_map(|(stream, by)| Step::Gap { stream, by }),
        6 => (stream.clone(), 0..8000u64, 0..2000u64)
            .prop_map(|(stream, offset, limit)| Step::Read { stream, offset, limit }),
        3 => stream.clone().prop_map(|stream| Step::Sync { stream }),
        1 => stream.clone().prop_map(|stream| Step::Delete { stream }),
        1 => (stream.clone(), 1..700usize)
            .prop_map(|(stream, new)| Step::FullDisk { stream, new }),
        1 => stream.prop_map(|stream| Step::FailedSync { stream }),
        1 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = OutputStore::open(directory.path(), settings()).unwrap();
        Self { directory, store, models: (1..4).map(|id| (id, Model::default())).collect() }
    }

    async fn on_step(&mut self, step: Step) {
        match step {
            Step::Append { stream, repeated, new } => self.append(stream, repeated, new).await,
            Step::Gap { stream, by } => {
                let have = self.models[&stream].bytes.len() as u64;
                let refused = self.send(stream, have + by, Bytes::from_static(b"x")).await;
                match refused {
                    Err(OutputError::Gap { have: told, .. }) => assert_eq!(told, have),
                    other => panic!("{other:?}"),
                }
            }
            Step::Read { stream, offset, limit } => self.read(stream, offset, limit).await,
            Step::Sync { stream } => {
                let synced = self.store.sync(ExecutionId(stream)).await.unwrap();
                self.on_synced(stream);
                assert_eq!(synced.stdout, self.models[&stream].bytes.len() as u64);
            }
            Step::Delete { stream } => {
                self.store.delete(vec![ExecutionId(stream)]).await.unwrap();
                self.models.insert(stream, Model::default());
            }
            Step::FullDisk { stream, new } => {
                self.store.faults.writes.store(1, std::sync::atomic::Ordering::SeqCst);
                let from = self.models[&stream].bytes.len();
                let full = self.send(stream, from as u64, pattern(stream, from, new)).await;
                assert!(full.unwrap_err().is_disk_full());
            }
            Step::FailedSync { stream } => {
                self.store.faults.syncs.store(1, std::sync::atomic::Ordering::SeqCst);
                let failed = self.store.sync(ExecutionId(stream)).await;
                self.store.faults.syncs.store(0, std::sync::atomic::Ordering::SeqCst);
                if failed.is_err() {
                    self.accept_loss().await;
                }
            }
            Step::Restart => {
                self.store.stop().await.unwrap();
                self.store = OutputStore::open(self.directory.path(), settings()).unwrap();
                (1..4).for_each(|stream| self.on_synced(stream));
            }
            Step::Kill => {
                let copy = copy_as_after_a_kill(self.directory.path());
                self.store = OutputStore::open(copy.path(), settings()).unwrap();
                self.directory = copy;
                self.accept_loss().await;
            }
        }
    }

    async fn send(&self, stream: u64, offset: u64, bytes: Bytes) -> Result<u64, OutputError> {
        self.store.append(ExecutionId(stream), OUT, offset, bytes, None).await
    }

    async fn append(&mut self, stream: u64, repeated: usize, new: usize) {
        let have = self.models[&stream].bytes.len();
        let from = have.saturating_sub(repeated);
        let bytes = pattern(stream, from, have - from + new);
        let size = self.send(stream, from as u64, bytes).await.unwrap();
        assert_eq!(size, (have + new) as u64);
        if let Some(model) = self.models.get_mut(&stream) {
            model.bytes.extend_from_slice(&pattern(stream, have, new));
        }
    }

    /// After a loss the stream may be shorter, but not than what was synced.
    async fn accept_loss(&mut self) {
        for (stream, model) in &mut self.models {
            let have = self.store.sizes(ExecutionId(*stream)).await.unwrap().stdout;
            let have = usize::try_from(have).unwrap();
            assert!((model.synced..=model.bytes.len()).contains(&have), "{have} of {model:?}");
            model.bytes.truncate(have);
        }
    }

    fn on_synced(&mut self, stream: u64) {
        if let Some(model) = self.models.get_mut(&stream) {
            model.synced = model.bytes.len();
        }
    }

    async fn read(&self, stream: u64, offset: u64, limit: u64) {
        let bytes = &self.models[&stream].bytes;
        let size = bytes.len() as u64;
        let is_cut = size > LIMIT;
        let hole = if is_cut { LIMIT / 2..size - LIMIT / 2 } else { 0..0 };
        match self.store.read(ExecutionId(stream), OUT, offset, limit).await.unwrap() {
            Read::Hole { hole: told, size: told_size } => {
                assert!(hole.contains(&offset));
                assert_eq!((told.from..told.to, told_size), (hole, size));
            }
            Read::Bytes { bytes: found, size: told_size, .. } => {
                let stop = if is_cut && offset < hole.start { hole.start } else { size };
                let to = (offset + limit).min(stop).max(offset);
                let range = usize::try_from(offset).unwrap()..usize::try_from(to).unwrap();
                assert!(!hole.contains(&offset));
                assert_eq!(told_size, size);
                assert_eq!(found, bytes.get(range).unwrap_or_default());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_restarts_and_kills_leave_what_a_vector_of_bytes_has(
        steps in prop::collection::vec(any_step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new();
            for step in steps {
                world.on_step(step).await;
            }
            for stream in 1..4 {
                for offset in (0..10_000).step_by(1500) {
                    world.read(stream, offset, 1500).await;
                }
            }
        });
    }
}
