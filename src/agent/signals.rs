//! Signals, listened to before anything is ready.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Caught {
    /// Read the configuration again.
    Hangup,
    /// End.
    Stop(Stop),
}

/// A signal that ends the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    Interrupt,
    Terminate,
}

impl Stop {
    /// As Go names it, and Consul's log with it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stop::Interrupt => "interrupt",
            Stop::Terminate => "terminated",
        }
    }
}

pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn install() -> std::io::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next signal. Loses none when dropped.
    pub(crate) async fn next(&mut self) -> Caught {
        tokio::select! {
            _ = self.hangup.recv() => Caught::Hangup,
            _ = self.interrupt.recv() => Caught::Stop(Stop::Interrupt),
            _ = self.terminate.recv() => Caught::Stop(Stop::Terminate),
        }
    }

    /// The next signal that asks to end.
    pub(crate) async fn next_stop(&mut self) -> Stop {
        loop {
            if let Caught::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}
