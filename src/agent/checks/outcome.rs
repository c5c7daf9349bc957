//! What one run says.

use crs_types::CheckStatus;

/// Status and text of one run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) status: CheckStatus,
    pub(crate) output: String,
}

impl Outcome {
    pub(crate) fn passing(output: impl Into<String>) -> Self {
        Outcome { status: CheckStatus::Passing, output: output.into() }
    }

    pub(crate) fn warning(output: impl Into<String>) -> Self {
        Outcome { status: CheckStatus::Warning, output: output.into() }
    }

    pub(crate) fn critical(output: impl Into<String>) -> Self {
        Outcome { status: CheckStatus::Critical, output: output.into() }
    }
}
