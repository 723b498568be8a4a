//! API keys: what they may do.

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read everything, change nothing.
    View,
    /// Have readings scored, and nothing else.
    Score,
    /// Everything.
    Operate,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::View, Self::Score, Self::Operate];

    /// The word for it in files, answers and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Score => "score",
            Self::Operate => "operate",
        }
    }

    /// Whether a key of this role may do what another role is for.
    pub fn may(self, what: Self) -> bool {
        self == Self::Operate || self == what
    }
}
