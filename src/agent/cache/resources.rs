//! The cache itself: finds, fetches and evicts.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::agent::workdir;
use crate::domain::Clock;
use crate::domain::uri::Uri;
use crate::storage::{self, Listing, Placement, StorageError, Transfer};

use super::flight::{Flight, FlightEnd, Passenger};
use super::lease::Lease;
use super::store::{CacheError, KEY_BYTES, Key, Record, Store, Stored, remove_any};

/// The resources of one worker. Clones are the same cache.
#[derive(Clone)]
pub struct ResourceCache {
    inner: Arc<Inner>,
}

/// An entry that was evicted: for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evicted {
    pub uri: String,
    pub bytes: u64,
}

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

pub(super) struct State {
    entries: HashMap<Key, Known>,
    pub(super) flights: HashMap<Key, Flight>,
}

/// A whole entry, and who uses it.
struct Known {
    stored: Stored,
    /// One more for each lease.
    in_use: Arc<()>,
}

/// What there is to do for a resource that is wanted.
enum Step {
    /// It is here: to be verified.
    Verify(Record, Arc<()>),
    /// It is being fetched.
    Wait(Passenger),
    /// A fetch that nobody wanted any more is being cancelled.
    WaitForEnd(watch::Receiver<FlightEnd>),
}

impl ResourceCache {
    /// Opens the cache in the agent's directory. Blocks.
    pub fn open(workdir: &Path, clock: Arc<dyn Clock>) -> Result<Self, CacheError> {
        let (store, stored) = Store::open(workdir::resources(workdir))?;
        let entries = stored
            .into_iter()
            .map(|(key, stored)| (key, Known { stored, in_use: Arc::new(()) }))
            .collect();
        let state = Mutex::new(State { entries, flights: HashMap::new() });
        Ok(Self { inner: Arc::new(Inner { store, clock, state }) })
    }

    /// The resource as it is at its address now. Fetched if it is not here;
    /// by one of those who want it at the same time, and if that fails all of
    /// them get the error. Failures are not remembered.
    pub async fn acquire(&self, uri: &Uri, transfer: &Transfer) -> Result<Lease, StorageError> {
        let listing = Arc::new(storage::list(uri, transfer).await?);
        let key = entry_key(&listing);
        loop {
            match self.next_step(&key, &listing, transfer) {
                Step::Verify(record, in_use) => {
                    if let Some(lease) = self.verify(uri, &key, &record, in_use, transfer).await? {
                        return Ok(lease);
                    }
                }
                Step::Wait(passenger) => {
                    let end = tokio::select! {
                        end = passenger.arrive() => end,
                        () = transfer.cancel.cancelled() => return Err(cancelled(uri)),
                    };
                    end.unwrap_or_else(|| Err(broken_off(uri)))?;
                }
                Step::WaitForEnd(mut end) => {
                    let _ = end.wait_for(Option::is_some).await;
                }
            }
        }
    }

    /// Removes entries that no task uses, least recently used first, until
    /// this share of the disk is free (percent) or none is left. Unfinished
    /// fetches that nobody waits for go first. Blocks.
    pub fn evict_until(&self, free_percent: f64) -> io::Result<Vec<Evicted>> {
        self.evict_while(|store| Ok(store.free_percent()? < free_percent))
    }

    /// Removes everything that nobody uses. Blocks.
    pub fn evict_all(&self) -> io::Result<Vec<Evicted>> {
        self.evict_while(|_| Ok(true))
    }

    pub(super) fn evict_while(
        &self,
        is_short: impl Fn(&Store) -> io::Result<bool>,
    ) -> io::Result<Vec<Evicted>> {
        let store = &self.inner.store;
        for key in store.partial_keys() {
            if is_short(store)? {
                // The lock keeps a fetch of it from beginning meanwhile.
                let state = self.state();
                if !state.flights.contains_key(&key) {
                    store.remove_partial(&key)?;
                }
            }
        }
        let mut evicted = Vec::new();
        for key in self.by_last_use() {
            if !is_short(store)? {
                break;
            }
            if !store.is_linked(&key) {
                evicted.extend(self.evict(&key)?);
            }
        }
        Ok(evicted)
    }

    fn by_last_use(&self) -> Vec<Key> {
        let state = self.state();
        let mut keys: Vec<(&Key, &Known)> = state.entries.iter().collect();
        keys.sort_by_key(|(key, known)| (known.stored.used_at, *key));
        keys.into_iter().map(|(key, _)| key.clone()).collect()
    }

    /// Removes one entry, unless somebody holds a lease on it.
    fn evict(&self, key: &str) -> io::Result<Option<Evicted>> {
        let (detached, record) = {
            let mut state = self.state();
            let is_free =
                state.entries.get(key).is_some_and(|known| Arc::strong_count(&known.in_use) == 1);
            if !is_free {
                return Ok(None);
            }
            let detached = self.inner.store.detach(key)?;
            let Some(known) = state.entries.remove(key) else { return Ok(None) };
            (detached, known.stored.record)
        };
        remove_any(&detached)?;
        Ok(Some(Evicted { uri: record.uri, bytes: record.bytes }))
    }

    fn next_step(&self, key: &Key, listing: &Arc<Listing>, transfer: &Transfer) -> Step {
        let mut state = self.state();
        if let Some(known) = state.entries.get(key) {
            return Step::Verify(known.stored.record.clone(), Arc::clone(&known.in_use));
        }
        if let Some(flight) = state.flights.get(key) {
            return flight.join().map_or_else(|| Step::WaitForEnd(flight.end()), Step::Wait);
        }
        let (flight, passenger, ended, cancel) = Flight::depart();
        state.flights.insert(key.clone(), flight);
        let (cache, key, listing) = (self.clone(), key.clone(), Arc::clone(listing));
        let own = Transfer { cancel, progress: transfer.progress.clone() };
        tokio::spawn(async move {
            let result = cache.fetch(&key, listing, &own).await;
            let _ = ended.send(Some(cache.land(&key, result)));
        });
        Step::Wait(passenger)
    }

    /// Fetches an entry and declares it whole.
    async fn fetch(
        &self,
        key: &Key,
        listing: Arc<Listing>,
        transfer: &Transfer,
    ) -> Result<Record, StorageError> {
        let uri = listing.uri().clone();
        let files = self.inner.store.partial_files(key);
        let fetched = storage::fetch(listing, &files, Placement::Resource, transfer).await;
        if let Err(error) = &fetched
            && !can_be_taken_up(error)
        {
            let (store, key) = (self.inner.store.clone(), key.clone());
            run_blocking(&uri, move |uri| {
                store.remove_partial(&key).map_err(StorageError::io(uri, "clear", store.root()))
            })
            .await?;
        }
        let moved = fetched?;
        let here = storage::list_directory(&uri, &files, transfer).await?;
        let record = Record::new(uri.to_string(), here.fingerprint(), moved.bytes);
        let (store, key, committed) = (self.inner.store.clone(), key.clone(), record.clone());
        run_blocking(&uri, move |uri| {
            store.commit(&key, &committed).map_err(StorageError::io(uri, "keep", store.root()))
        })
        .await?;
        Ok(record)
    }

    /// The fetch is over: the entry takes its place in the same moment.
    fn land(&self, key: &Key, result: Result<Record, StorageError>) -> Result<(), StorageError> {
        let used_at = self.inner.clock.now().wall;
        let mut state = self.state();
        state.flights.remove(key);
        let stored = Stored { record: result?, used_at };
        state.entries.insert(key.clone(), Known { stored, in_use: Arc::new(()) });
        Ok(())
    }

    /// A lease, if the files are still what was fetched; else the entry goes.
    async fn verify(
        &self,
        uri: &Uri,
        key: &Key,
        record: &Record,
        in_use: Arc<()>,
        transfer: &Transfer,
    ) -> Result<Option<Lease>, StorageError> {
        let files = self.inner.store.files(key);
        match storage::list_directory(uri, &files, transfer).await {
            Ok(here) if here.fingerprint() == record.fingerprint => {
                self.mark_used(key);
                Ok(Some(Lease { listing: Arc::new(here), _in_use: in_use }))
            }
            Err(error @ StorageError::Cancelled { .. }) => Err(error),
            Ok(_) | Err(_) => {
                tracing::warn!(%uri, "a kept resource is not what was fetched: fetching it again");
                let (cache, key) = (self.clone(), key.clone());
                run_blocking(uri, move |uri| cache.discard(uri, &key, &in_use)).await?;
                Ok(None)
            }
        }
    }

    /// Removes an entry that is no good, if it is still the one that was seen.
    fn discard(&self, uri: &Uri, key: &Key, seen: &Arc<()>) -> Result<(), StorageError> {
        let failed = StorageError::io(uri, "remove", &self.inner.store.files(key));
        let detached = {
            let mut state = self.state();
            if !state.entries.get(key).is_some_and(|known| Arc::ptr_eq(&known.in_use, seen)) {
                return Ok(());
            }
            state.entries.remove(key);
            self.inner.store.detach(key)
        };
        detached.and_then(|path| remove_any(&path)).map_err(failed)
    }

    fn mark_used(&self, key: &Key) {
        let now = self.inner.clock.now().wall;
        if let Some(known) = self.state().entries.get_mut(key) {
            known.stored.used_at = now;
        }
        if let Err(error) = self.inner.store.touch(key, now) {
            tracing::debug!(key, %error, "the date of a resource's last use is not kept");
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ResourceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceCache")
            .field("root", &self.inner.store.root())
            .finish_non_exhaustive()
    }
}

/// Another one for each address and each state of what it names.
pub(super) fn entry_key(listing: &Listing) -> Key {
    let mut hasher = Sha256::new();
    hasher.update(listing.fingerprint());
    hasher.update(listing.uri().to_string());
    storage::hexadecimal(hasher.finalize().get(..KEY_BYTES).unwrap_or_default())
}

/// Whether another attempt finds a use for what this one leaves.
const fn can_be_taken_up(error: &StorageError) -> bool {
    // What was fetched of a source that changed belongs to another key.
    !matches!(error, StorageError::Changed { .. })
}

async fn run_blocking<T: Send + 'static>(
    uri: &Uri,
    work: impl FnOnce(&Uri) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let owned = uri.clone();
    tokio::task::spawn_blocking(move || work(&owned)).await.unwrap_or_else(|_| Err(broken_off(uri)))
}

fn cancelled(uri: &Uri) -> StorageError {
    StorageError::Cancelled { uri: uri.to_string() }
}

fn broken_off(uri: &Uri) -> StorageError {
    StorageError::Internal { uri: uri.to_string(), reason: "a thread panicked".to_owned() }
}
