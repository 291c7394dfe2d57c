//! The listener room.
