//! The states of a task in every spelling (A2A 1.0 section 4.1.3, 0.3 section 6.3).

/// What an agent says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Taken, not begun.
    Submitted,
    /// Under way.
    Working,
    /// Waits for another message of the client.
    InputRequired,
    /// Waits until the client has proven something.
    AuthRequired,
    /// Done.
    Completed,
    /// Ended by a failure.
    Failed,
    /// Ended by the client.
    Canceled,
    /// Not taken.
    Rejected,
    /// The agent does not know.
    Unknown,
}

/// What a state means for whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// More is to come.
    Working,
    /// Nothing more comes until the client does something. The stream may end here.
    Interrupted,
    /// Nothing more comes.
    Terminal,
}

impl TaskState {
    /// Reads the word of any generation.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word.strip_prefix("TASK_STATE_").unwrap_or(word) {
            "SUBMITTED" | "submitted" => Self::Submitted,
            "WORKING" | "working" => Self::Working,
            "INPUT_REQUIRED" | "input-required" => Self::InputRequired,
            "AUTH_REQUIRED" | "auth-required" => Self::AuthRequired,
            "COMPLETED" | "completed" => Self::Completed,
            "FAILED" | "failed" => Self::Failed,
            "CANCELED" | "CANCELLED" | "canceled" | "cancelled" => Self::Canceled,
            "REJECTED" | "rejected" => Self::Rejected,
            "UNSPECIFIED" | "unknown" => Self::Unknown,
            _ => return None,
        })
    }

    /// Reads the number in protocol buffers, the same in both packages.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::Unknown,
            1 => Self::Submitted,
            2 => Self::Working,
            3 => Self::Completed,
            4 => Self::Failed,
            5 => Self::Canceled,
            6 => Self::InputRequired,
            7 => Self::Rejected,
            8 => Self::AuthRequired,
            _ => return None,
        })
    }

    /// Its word in logs and metrics: that of 0.3.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input-required",
            Self::AuthRequired => "auth-required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
        }
    }

    /// What it means for whoever waits.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::Submitted | Self::Working | Self::Unknown => Phase::Working,
            Self::InputRequired | Self::AuthRequired => Phase::Interrupted,
            Self::Completed | Self::Failed | Self::Canceled | Self::Rejected => Phase::Terminal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_spells_the_same_states() {
        for (number, current, older, phase) in [
            (0, "TASK_STATE_UNSPECIFIED", "unknown", Phase::Working),
            (1, "TASK_STATE_SUBMITTED", "submitted", Phase::Working),
            (2, "TASK_STATE_WORKING", "working", Phase::Working),
            (3, "TASK_STATE_COMPLETED", "completed", Phase::Terminal),
            (4, "TASK_STATE_FAILED", "failed", Phase::Terminal),
            (5, "TASK_STATE_CANCELED", "canceled", Phase::Terminal),
            (5, "TASK_STATE_CANCELLED", "canceled", Phase::Terminal),
            (6, "TASK_STATE_INPUT_REQUIRED", "input-required", Phase::Interrupted),
            (7, "TASK_STATE_REJECTED", "rejected", Phase::Terminal),
            (8, "TASK_STATE_AUTH_REQUIRED", "auth-required", Phase::Interrupted),
        ] {
            let state = TaskState::from_number(number).unwrap();
            assert_eq!((TaskState::from_word(current), TaskState::from_word(older)), (Some(state), Some(state)));
            assert_eq!((state.word(), state.phase()), (older, phase), "{current}");
        }
        assert_eq!((TaskState::from_word("asleep"), TaskState::from_number(9)), (None, None));
    }
}
