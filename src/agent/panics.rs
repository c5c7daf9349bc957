//! Whether a panic on this thread is caught by whoever runs a request.

use std::cell::Cell;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Runs something whose panic the caller catches: such a panic does not end the process.
pub fn caught<T>(run: impl FnOnce() -> T) -> T {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            CAUGHT.set(self.0);
        }
    }
    let _reset = Reset(CAUGHT.replace(true));
    run()
}

pub(crate) fn are_caught() -> bool {
    CAUGHT.get()
}
