//! Who waits for what. A topic exists here while somebody watches it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crs_store::{Changes, Topic};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// Wakes watchers by the topics that changed. The lock is held for a look-up or an insertion, never while waking or
/// waiting.
#[derive(Debug, Default)]
pub struct WatchHub {
    topics: Mutex<Topics>,
    /// Watchers alive, for the metrics.
    watchers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Topics {
    exact: HashMap<Topic, Arc<Watched>>,
    /// Key prefixes apart, in order: a changed key wakes those that it begins with.
    prefixes: BTreeMap<Arc<str>, Arc<Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    notify: Arc<Notify>,
    watchers: AtomicUsize,
    /// The state was replaced as a whole: indexes may have gone back, so every watcher answers.
    replaced: AtomicBool,
}

impl WatchHub {
    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch. Every change published after this call wakes the subscription.
    pub fn subscribe(self: &Arc<Self>, topic: Topic) -> Subscription {
        let watched = {
            let mut topics = self.lock();
            let watched = match &topic {
                Topic::KeyPrefix(prefix) => topics.prefixes.entry(prefix.clone()).or_default(),
                topic => topics.exact.entry(topic.clone()).or_default(),
            };
            // Counted under the lock, so that the last one leaving cannot remove the topic meanwhile.
            watched.watchers.fetch_add(1, Ordering::Relaxed);
            watched.clone()
        };
        self.watchers.fetch_add(1, Ordering::Relaxed);
        let woken = Box::pin(watched.notify.clone().notified_owned());
        Subscription { hub: self.clone(), topic, watched, woken }
    }

    /// Wakes the watchers of these topics. Call it after the change is visible to readers: whoever subscribes after
    /// this call took the lock sees it.
    pub fn wake(&self, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let mut woken: Vec<Arc<Watched>> = Vec::new();
        {
            let topics = self.lock();
            for topic in changes.iter() {
                woken.extend(topics.exact.get(topic).cloned());
                if let Topic::Key(key) = topic
                    && !topics.prefixes.is_empty()
                {
                    woken.extend(topics.prefixes_of(key).cloned());
                }
            }
        }
        for watched in woken {
            watched.notify.notify_waiters();
        }
    }

    /// Wakes everybody: the state was replaced.
    pub fn wake_all(&self) {
        let all: Vec<Arc<Watched>> = {
            let topics = self.lock();
            topics.exact.values().chain(topics.prefixes.values()).cloned().collect()
        };
        for watched in all {
            watched.replaced.store(true, Ordering::Release);
            watched.notify.notify_waiters();
        }
    }

    /// How many watchers wait or are about to.
    pub fn watchers(&self) -> usize {
        self.watchers.load(Ordering::Relaxed)
    }
}

impl Topics {
    /// The watched prefixes of a key: every one of them lies between its own first character and the key.
    fn prefixes_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Arc<Watched>> {
        // Walk from the key downwards; after a miss, skip to the part that both share.
        let mut upper: &str = key;
        let mut done = false;
        std::iter::from_fn(move || {
            while !done {
                let bounds = (Bound::Unbounded, Bound::Included(upper));
                let Some((prefix, watched)) = self.prefixes.range::<str, _>(bounds).next_back() else {
                    done = true;
                    return None;
                };
                let shared = shared_len(prefix, key);
                let hit = shared == prefix.len();
                // Below a prefix that is hit, the next candidate is shorter than it.
                match if hit { shared.checked_sub(1) } else { Some(shared) } {
                    Some(len) => upper = &key[..floor_boundary(key, len)],
                    None => done = true,
                }
                if hit {
                    return Some(watched);
                }
            }
            None
        })
    }
}

fn shared_len(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count()
}

fn floor_boundary(text: &str, mut len: usize) -> usize {
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    len
}

/// One watcher of one topic.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<WatchHub>,
    topic: Topic,
    watched: Arc<Watched>,
    woken: std::pin::Pin<Box<OwnedNotified>>,
}

impl Subscription {
    /// Waits for the next change of the topic since the subscription, or since the last time it woke.
    pub async fn changed(&mut self) {
        self.woken.as_mut().await;
        let next = self.watched.notify.clone().notified_owned();
        self.woken.set(next);
    }

    /// Whether the whole state was replaced since the subscription.
    pub fn replaced(&self) -> bool {
        self.watched.replaced.load(Ordering::Acquire)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.hub.watchers.fetch_sub(1, Ordering::Relaxed);
        let mut topics = self.hub.lock();
        if self.watched.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            match &self.topic {
                Topic::KeyPrefix(prefix) => _ = topics.prefixes.remove(prefix),
                topic => _ = topics.exact.remove(topic),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn changes(topics: impl IntoIterator<Item = Topic>) -> Changes {
        let mut changes = Changes::default();
        topics.into_iter().for_each(|topic| changes.touch(topic));
        changes
    }

    async fn wakes(subscription: &mut Subscription) -> bool {
        tokio::time::timeout(Duration::ZERO, subscription.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn only_the_watched_topic_wakes() {
        let hub = Arc::new(WatchHub::default());
        let mut a = hub.subscribe(Topic::Key("a".into()));
        let mut b = hub.subscribe(Topic::Key("b".into()));
        hub.wake(&changes([Topic::Key("a".into())]));
        assert!(wakes(&mut a).await);
        assert!(!wakes(&mut b).await);
        assert!(!wakes(&mut a).await, "one change wakes once");
        drop((a, b));
        assert_eq!(hub.watchers(), 0);
        assert!(hub.lock().exact.is_empty());
    }

    #[tokio::test]
    async fn a_key_wakes_every_prefix_of_it_and_no_other() {
        let hub = Arc::new(WatchHub::default());
        let mut watching: Vec<(&str, Subscription)> =
            ["", "a", "a/", "a/b", "a/b/c", "a/bc", "ab", "b", "a/é", "a/è"]
                .into_iter()
                .map(|prefix| (prefix, hub.subscribe(Topic::KeyPrefix(prefix.into()))))
                .collect();
        for key in ["a/b/c", "a", "zz", "", "a/éx", "a/ê", "a/bb"] {
            hub.wake(&changes([Topic::Key(key.into())]));
            for (prefix, subscription) in &mut watching {
                assert_eq!(wakes(subscription).await, key.starts_with(*prefix), "{prefix:?} on {key:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_replaced_state_wakes_everybody() {
        let hub = Arc::new(WatchHub::default());
        let mut a = hub.subscribe(Topic::Nodes);
        let mut b = hub.subscribe(Topic::KeyPrefix("x".into()));
        assert!(!a.replaced());
        hub.wake_all();
        assert!(wakes(&mut a).await && wakes(&mut b).await);
        assert!(a.replaced() && b.replaced());
    }
}
