//! Waiting for what must come true.

use std::time::{Duration, Instant};

/// Asks `attempt` until it gives a value, and returns it.
///
/// # Panics
/// When `deadline` has passed; the text names `what` and the last reason `attempt` gave.
#[track_caller]
pub fn eventually<T, E: std::fmt::Display>(
    deadline: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(reason) if start.elapsed() > deadline => {
                panic!("not within {deadline:?}: {what}; at last: {reason}")
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_first_value() {
        let mut calls = 0;
        let value = eventually(Duration::from_secs(5), "three calls", || {
            calls += 1;
            if calls == 3 { Ok(calls) } else { Err("not yet") }
        });
        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "not within 10ms: the moon; at last: still dark")]
    fn names_what_did_not_come() {
        eventually(Duration::from_millis(10), "the moon", || Err::<(), _>("still dark"));
    }
}
